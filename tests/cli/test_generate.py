from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from charaforge.cli.main import main
from charaforge.diffusion.bundle import load_bundle
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_loras import note_choice, random_lora
from tests.fixtures.tiny_models import tiny_sd

TINY = ("--prompt", "blue hair girl", "--model", "tiny-sd", "--width", "64", "--height", "64", "--steps", "2")


@pytest.fixture
def tiny(warehouse: Warehouse) -> Warehouse:
    tiny_sd(warehouse.sd / "tiny-sd")
    return warehouse


def test_pictures_are_saved_and_their_paths_printed(
    tiny: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *TINY, "--seed", "5", "--count", "2", "--scheduler", "Euler a"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == ["0001.png", "0002.png"]
    assert paths[0].is_relative_to(tiny.outputs)
    sidecar = json.loads(paths[1].with_suffix(".json").read_text(encoding="utf-8"))
    assert sidecar["request"]["seed"] == 6
    assert sidecar["request"]["scheduler"] == "euler_a"
    assert sidecar["elapsed_ms"] > 0


def test_a_lora_acts_at_the_weight_that_was_chosen_for_it(
    tiny: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tiny.lora_folder("charA") / "charA.safetensors"
    random_lora(file, load_bundle(tiny.sd / "tiny-sd", "tiny-sd"), seed=1)
    note_choice(file, weight=1.2, chosen_step=50)
    used = {}
    for asked in ("charA", "charA:0.5"):
        assert main(["generate", *TINY, "--seed", "5", "--lora", asked]) == 0
        sidecar = Path(capsys.readouterr().out.strip()).with_suffix(".json")
        used[asked] = json.loads(sidecar.read_text(encoding="utf-8"))["request"]["loras"][0]["weight"]
    assert used == {"charA": 1.2, "charA:0.5": 0.5}


def test_out_says_where_to(tiny: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", *TINY, "--out", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "mine" / "0001.png")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scheduler", "euler_b"), "did you mean 'euler"),
        (("--model", "tiny-sf"), "did you mean 'tiny-sd'"),
        (("--lora", "charA:heavy"), "weight"),
        (("--lora", "nobody"), "unknown lora"),
        (("--steps", "0"), "steps"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_bad_input_is_told_and_exits_2(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *TINY, *words]) == 2
    assert told in capsys.readouterr().err


def test_pictures_to_start_from_and_a_second_pass_are_options(
    tiny: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "start.png"
    Image.new("RGB", (64, 64), "teal").save(picture)
    mask = tmp_path / "mask.png"
    Image.new("L", (64, 64), 255).save(mask)
    words = ["--init", str(picture), "--mask", str(mask), "--denoise", "0.5", "--fill", "blur"]
    assert main(["generate", *TINY, *words, "--variation", "9:0.25", "--seed", "1"]) == 0
    saved = Path(capsys.readouterr().out.strip())
    told = json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))["request"]
    assert told["init"]["image"].startswith("sha256:")
    assert (told["init"]["denoise"], told["init"]["fill"]) == (0.5, "blur")
    assert told["variation"] == {"seed": 9, "strength": 0.25}
    assert main(["generate", *TINY, "--hires", "2", "--hires-steps", "1", "--seed", "1"]) == 0
    saved = Path(capsys.readouterr().out.strip())
    assert main(["reproduce", str(saved), "--out", str(tmp_path / "again")]) == 0
    assert "equal, byte for byte" in capsys.readouterr().out
    assert (tmp_path / "again" / "0001.png").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--denoise", "0.5"), "--denoise needs --init"),
        (("--hires-steps", "5"), "--hires-steps needs --hires"),
        (("--control", "poes=a.png"), "did you mean 'pose'"),
        (("--control", "pose"), "did you mean"),
        (("--control", "pose=missing.png:0.5"), "no"),
        (("--variation", "9"), "no strength"),
        (("--init", "missing.png"), "cannot be read"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_bad_picture_options_are_told(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *TINY, *words]) == 2
    assert told in capsys.readouterr().err


def test_reproduce_says_what_is_not_as_it_was(
    tiny: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *TINY, "--seed", "5"]) == 0
    saved = Path(capsys.readouterr().out.strip())
    tiny_sd(tiny.sd / "tiny-sd", seed=1)
    assert main(["reproduce", str(saved)]) == 4
    told = capsys.readouterr().out
    assert "different, by up to" in told
    assert "model was" in told
    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    assert main(["reproduce", str(tmp_path / "foreign.png")]) == 2
    assert "no chunk of charaforge" in capsys.readouterr().err
