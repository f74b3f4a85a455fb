"""Steps that were done are not done again, those that were stopped are, and the file says how far it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from charaforge.errors import WarehouseError
from charaforge.forge.record import STEPS, Record, alone


class Work:
    def __init__(self) -> None:
        self.calls = 0
        self.stop = False

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        if self.stop:
            raise KeyboardInterrupt
        return {"calls": self.calls}


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "forge.json"


def states(path: Path) -> dict[str, str]:
    told = json.loads(path.read_text(encoding="utf-8"))
    return {name: one["state"] for name, one in told["steps"].items()}


def test_a_done_step_is_not_done_again(path: Path, work: Work) -> None:
    assert Record(path, {}).step("train", {"rank": 8}, work) == {"calls": 1}
    assert Record(path, {}).step("train", {"rank": 8}, work) == {"calls": 1}
    assert states(path) == dict.fromkeys(STEPS, "waiting") | {"train": "done"}


def test_other_inputs_do_it_again_and_are_noticed_before(path: Path, work: Work) -> None:
    Record(path, {}).step("train", {"rank": 8}, work)
    again = Record(path, {})
    assert again.begun("train", {"rank": 16})
    assert not again.begun("train", {"rank": 8})
    assert not again.begun("choose", {})
    again.step("train", {"rank": 16}, work)
    assert work.calls == 2


def test_a_stopped_step_is_done_again(path: Path, work: Work) -> None:
    work.stop = True
    with pytest.raises(KeyboardInterrupt):
        Record(path, {}).step("train", {}, work)
    assert states(path)["train"] == "running"
    assert Record(path, {}).knows_training
    work.stop = False
    assert Record(path, {}).step("train", {}, work) == {"calls": 2}


def test_what_it_made_has_to_be_there(path: Path, work: Work, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.touch()
    Record(path, {}).step("train", {}, work, made)
    Record(path, {}).step("train", {}, work, made)
    assert work.calls == 1
    made.unlink()
    Record(path, {}).step("train", {}, work, made)
    assert work.calls == 2


@pytest.mark.parametrize("text", ['{"steps": 1', "[]", '{"schema_version": 0}'])
def test_a_damaged_or_foreign_file_is_no_record(path: Path, work: Work, text: str) -> None:
    Record(path, {}).step("train", {}, work)
    path.write_text(text, encoding="utf-8")
    Record(path, {}).step("train", {}, work)
    assert work.calls == 2


def test_a_forgotten_step_is_done_again(path: Path, work: Work) -> None:
    record = Record(path, {})
    record.step("choose", {}, work)
    record.forget("choose")
    assert states(path)["choose"] == "waiting"
    assert Record(path, {}).step("choose", {}, work) == {"calls": 2}


def test_one_run_at_a_time_in_a_folder(tmp_path: Path) -> None:
    held = alone(tmp_path / "out", "go")
    held.__enter__()
    with pytest.raises(WarehouseError, match="another forging"), alone(tmp_path / "out", "go"):
        pass
    held.__exit__(None, None, None)
    with alone(tmp_path / "out", "go"):
        pass


def test_the_result_is_told(path: Path) -> None:
    record = Record(path, {"character": "mochi"})
    record.finish({"ccr": 0.9})
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (told["plan"], told["result"]) == ({"character": "mochi"}, {"ccr": 0.9})
