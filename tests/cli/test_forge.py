"""`charaforge forge` and `charaforge sheet`: what they say when something is missing."""

import json
from pathlib import Path

import pytest

from charaforge.cli.main import main
from charaforge.cli.verbs.forge import seconds_of, settings_of
from charaforge.errors import UsageError
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.warehouse.layout import Warehouse


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5h", 5400), ("7", 420)]
)
def test_budgets(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "0m", "-5m", "10 days"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UsageError, match="--budget"):
        seconds_of(text)


def test_settings() -> None:
    assert settings_of(["rank=4", "learning_rate=1.0e-3", "optimizer=adamw"]) == {
        "rank": 4,
        "learning_rate": 0.001,
        "optimizer": "adamw",
    }
    with pytest.raises(UsageError, match="KEY=VALUE"):
        settings_of(["rank"])


def test_too_few_pictures_are_counted(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_character(Character.from_seed(5), tmp_path / "set", 12, warehouse)
    words = [
        "forge",
        str(tmp_path / "set"),
        "--character",
        Character.from_seed(5).trigger,
        "--model",
        "mini-sd",
    ]
    assert main([*words, "--out", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr()
    assert f"report:       {tmp_path / 'out' / 'report.html'}" in printed.out
    told = printed.err
    assert "12 usable pictures" in told
    assert "20 are missing" in told
    for name in ("report.json", "forge.json"):
        assert "20 are missing" in (tmp_path / "out" / name).read_text(encoding="utf-8")
    record = json.loads((tmp_path / "out" / "forge.json").read_text(encoding="utf-8"))
    assert record["result"]["status"] == "not measurable"


def test_a_folder_that_is_not_there(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forge", str(tmp_path / "none"), "--character", "mochi", "--model", "mini-sd"]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_lora_that_somebody_else_made_is_not_touched(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = warehouse.lora_folder("mochi_mini-sd_r8")
    folder.mkdir(parents=True)
    (folder / "mochi_mini-sd_r8.safetensors").write_bytes(b"theirs")
    words = [
        "forge",
        str(tmp_path),
        "--character",
        "mochi",
        "--model",
        "mini-sd",
        "--out",
        str(tmp_path / "o"),
    ]
    assert main(words) == 2
    assert "give another --lora NAME" in capsys.readouterr().err
    assert (folder / "mochi_mini-sd_r8.safetensors").read_bytes() == b"theirs"
    assert main([*words, "--lora", "mine"]) == 3, "no pictures, but the name is free"
    assert "no pictures" in capsys.readouterr().err


def test_an_unknown_base(warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forge", str(tmp_path), "--character", "mochi", "--model", "mini-sb"]) == 2
    assert "mini-sd" in capsys.readouterr().err


def test_a_sheet_of_nobody(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sheet", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err
