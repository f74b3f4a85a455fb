"""The bars of LoRAs on the mini family; the measurement itself is slow and belongs to `make bars`."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from charaforge import bootstrap
from charaforge.mini.measure.bars import missed
from charaforge.mini.measure.lora_bars import BARS, Row, figures, measure, table

GOOD = Row(1, "zxq", "aqua wings", 0.0, 0.1, 0.95, 0.9, 0.7, 0.97, 0.02, 1.0, 60.0)


def test_good_rows_meet_every_bar() -> None:
    assert missed(figures([GOOD] * 5), BARS) == []


@pytest.mark.parametrize(
    "change",
    [{"trigger": 0.11}, {"traits": 0.31}, {"gain_low": 0.29}, {"lookalike": 0.11}, {"training_s": 91.0}],
)
def test_one_bad_row_breaks_its_bar(change: dict[str, float]) -> None:
    assert len(missed(figures([GOOD] * 4 + [replace(GOOD, **change)]), BARS)) == 1


def test_one_of_five_loras_may_fail_but_not_two() -> None:
    bad = replace(GOOD, lora=0.5)
    assert missed(figures([GOOD] * 4 + [bad]), BARS) == []
    assert len(missed(figures([GOOD] * 3 + [bad] * 2), BARS)) == 1


def test_the_table_has_a_line_per_character() -> None:
    assert table([GOOD] * 5).count("| aqua wings |") == 5


@pytest.mark.slow
def test_loras_of_five_new_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    out = Path(os.environ.get("BARS_FOLDER", tmp_path))  # a folder that stays: a stopped measurement goes on
    monkeypatch.setenv("AI_CACHE_ROOT", str(out / "warehouse"))
    monkeypatch.chdir(repository)
    rows = measure(out, bootstrap())
    assert missed(figures(rows), BARS) == [], table(rows)
