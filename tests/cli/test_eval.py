"""`charaforge eval`: what it says when something is missing, before anything is rendered."""

from pathlib import Path

import pytest

from charaforge.cli.main import main
from charaforge.warehouse.layout import Warehouse

PROMPTS = "docs/prompts/charA_eval_prompts.json"


def asked(lora: str, tmp_path: Path, *more: str) -> list[str]:
    return ["eval", "--lora", lora, "--prompts", PROMPTS, "--out", str(tmp_path / "out"), *more]


@pytest.fixture
def lora(warehouse: Warehouse) -> Path:
    folder = warehouse.lora_folder("charA_sd15_r16_v1")
    folder.mkdir()
    from safetensors.numpy import save_file

    save_file({}, folder / "charA_sd15_r16_v1.safetensors")
    return folder


def test_an_unknown_lora_names_the_nearest(
    lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked("charA_sd15_r8_v1", tmp_path)) == 2
    assert "charA_sd15_r16_v1" in capsys.readouterr().err


def test_a_lora_elsewhere(warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stray = tmp_path / "stray.safetensors"
    stray.touch()
    assert main(asked(str(stray), tmp_path)) == 2
    assert str(warehouse.lora) in capsys.readouterr().err


def test_without_references_nothing_is_measured(
    lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(str(lora), tmp_path)) == 3
    assert "--dataset" in capsys.readouterr().err


def test_without_a_base_it_asks(lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked(lora.name, tmp_path, "--dataset", str(tmp_path / "t.csv"))) == 2
    assert "--model" in capsys.readouterr().err


def test_all_faulty_options_at_once(lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", "t.csv", "--model", "mini-sd", "--seeds", "0", "--bar", "1.5"]
    assert main(asked(lora.name, tmp_path, *options)) == 2
    told = capsys.readouterr().err
    assert "seeds" in told
    assert "bar" in told
