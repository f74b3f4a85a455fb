"""Stages that were done are not done again, and those that were stopped are."""

from pathlib import Path

import pytest

from charaforge.forge.stages import Stages


class Work:
    def __init__(self) -> None:
        self.calls = 0
        self.stop = False

    def __call__(self) -> None:
        self.calls += 1
        if self.stop:
            raise KeyboardInterrupt


@pytest.fixture
def work() -> Work:
    return Work()


def test_a_done_stage_is_not_done_again(tmp_path: Path, work: Work) -> None:
    first = Stages(tmp_path).run("train", {"rank": 8}, work)
    assert Stages(tmp_path).run("train", {"rank": 8}, work) == first
    assert work.calls == 1


def test_other_inputs_do_it_again(tmp_path: Path, work: Work) -> None:
    Stages(tmp_path).run("train", {"rank": 8}, work)
    Stages(tmp_path).run("train", {"rank": 16}, work)
    assert work.calls == 2


def test_a_stopped_stage_goes_on_and_its_time_counts(tmp_path: Path, work: Work) -> None:
    work.stop = True
    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path).run("train", {}, work)
    work.stop = False
    Stages(tmp_path).run("train", {}, work)
    assert work.calls == 2


def test_a_damaged_mark_is_no_mark(tmp_path: Path, work: Work) -> None:
    Stages(tmp_path).run("train", {}, work)
    (tmp_path / "train.json").write_text('{"key": 1', encoding="utf-8")
    Stages(tmp_path).run("train", {}, work)
    assert work.calls == 2
