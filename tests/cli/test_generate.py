from __future__ import annotations

import json
from pathlib import Path

import pytest

from charaforge.cli.main import main
from charaforge.warehouse.layout import Warehouse
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
