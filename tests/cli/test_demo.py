"""`charaforge demo`; the whole of it, on the embedded models, belongs to `make bars`."""

from pathlib import Path

import pytest

from charaforge.cli.main import main
from charaforge.cli.shipped import PROMPTS, shipped
from charaforge.cli.verbs.demo import _forget
from charaforge.errors import UsageError


def test_fresh_forgets_folders_and_nothing_else(tmp_path: Path) -> None:
    out, lora, kept = tmp_path / "out", tmp_path / "lora", tmp_path / "kept"
    for folder in (out, lora, kept):
        folder.mkdir()
        (folder / "a").touch()
    _forget(out, lora)
    _forget(out, lora)
    assert list(tmp_path.iterdir()) == [kept]


def test_shipped_files_are_found_or_missed_by_name() -> None:
    assert shipped(PROMPTS).is_file()
    with pytest.raises(UsageError, match=r"nothing\.json"):
        shipped("docs/nothing.json")


@pytest.mark.slow
def test_the_demo_shows_a_learnt_character(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "PASSED" in told
    assert f"report:       {out / 'report.html'}" in told
    assert len(list((out / "my_character").iterdir())) == 64, "pictures, and no word about them"
    assert (out / "sheet.png").is_file()
