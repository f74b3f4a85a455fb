import json
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from charaforge.cli.main import main

TEXT = (
    "girl\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 512x768, ENSD: 1"
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    chunks = PngInfo()
    chunks.add_text("parameters", TEXT)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=chunks)
    return tmp_path / "a.png"


def test_the_request_is_told(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(picture)]) == 0
    told = capsys.readouterr().out
    assert "made by: a1111\nprompt: girl\nnegative: blurry\n" in told
    assert "scheduler: euler_a" in told
    assert "  ENSD: 1" in told


def test_json_holds_all_of_it(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(picture), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["source"], told["parameters"]) == ("a1111", TEXT)
    assert (told["request"]["seed"], told["request"]["height"]) == (3, 768)
    assert "ENSD: 1" in told["unmapped"]


def test_a_picture_that_says_nothing_and_a_missing_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    assert main(["inspect", str(tmp_path / "plain.png")]) == 1
    assert "says nothing" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "none.png")]) == 2
    assert "none.png cannot be read: No such file" in capsys.readouterr().err
