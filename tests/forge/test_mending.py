"""What was lost or replaced since a forging was done is made again; what is whole is left alone."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from charaforge.errors import UsageError
from charaforge.evaluation.publish import note_in_lora
from charaforge.evaluation.rendering import lora_hash
from charaforge.evaluation.report import write_report
from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.selection import SelectionPlan
from charaforge.forge import road
from charaforge.forge.effort import usual
from charaforge.forge.plan import ForgePlan
from charaforge.forge.road import RECORD, REPORT, forge
from charaforge.training.config import TrainingConfig
from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.layout import Warehouse
from tests.evaluation.findings import finding, with_choice
from tests.forge.test_road import asked

CHOSEN_STEP, LAST_STEP = 200, 300


class Steps:
    """The steps of a forging, in no time; counts how often each is done.

    Args:
        plan: What is forged.
        warehouse: Where.
    """

    def __init__(self, plan: ForgePlan, warehouse: Warehouse) -> None:
        self.plan, self.lora = plan, warehouse.lora_folder(plan.lora)
        self.table = warehouse.metadata / f"{plan.dataset}.parquet"
        self.file = self.lora / f"{plan.lora}.safetensors"
        self.done: list[str] = []
        plan.out.mkdir(parents=True, exist_ok=True)
        self._finding = with_choice(finding(plan.out))

    def curated(self, plan: ForgePlan, warehouse: Warehouse) -> dict[str, Any]:
        self.done.append("curate")
        self.table.parent.mkdir(parents=True, exist_ok=True)
        self.table.write_bytes(b"the table of this forging")
        digest = hashlib.sha256(self.table.read_bytes()).hexdigest()
        splits = {"train": 40, "ref": 20}
        return {"table": str(self.table), "sha256": digest, "pictures": 60, "splits": splits}

    def decided(self, plan: ForgePlan, table: Path, warehouse: Warehouse) -> dict[str, Any]:
        effort = usual(LAST_STEP, certificate=False, posed=False, sheet=False)
        return {"effort": effort.model_dump(mode="json"), "pace": None}

    def train(self, config: TrainingConfig, warehouse: Warehouse) -> SimpleNamespace:
        self.done.append("train")
        (self.lora / "checkpoints").mkdir(parents=True, exist_ok=True)
        for step in (100, CHOSEN_STEP, LAST_STEP):
            trained(step, self.checkpoint(step))
        trained(LAST_STEP, self.file)
        return SimpleNamespace(lora_file=self.file, steps=LAST_STEP)

    def select(self, asked: SelectionPlan, warehouse: Warehouse) -> Evaluation:
        self.done.append("choose")
        told = {"lora": self.plan.lora, "lora_sha256": lora_hash(self.checkpoint(CHOSEN_STEP))}
        return self._finding.model_copy(update=told)

    def publish(self, evaluation: Evaluation, folder: Path, warehouse: Warehouse) -> Path:
        note_in_lora(evaluation, self.lora)
        return write_report(evaluation, folder)

    def checkpoint(self, step: int) -> Path:
        return self.lora / "checkpoints" / f"{self.plan.lora}-step{step:08d}.safetensors"


def trained(step: int, file: Path) -> None:
    save_file({"a.lora_up.weight": np.full((2, 2), step, np.float32)}, file, {"ss_steps": str(step)})


@pytest.fixture
def steps(tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps(asked(tmp_path, sheet=False), warehouse)
    for name in ("curated", "decided", "train", "select", "publish"):
        monkeypatch.setattr(road, name, getattr(steps, name))
    Image.new("RGB", (8, 8)).save(steps.plan.folder / "1.png")
    forge(steps.plan, warehouse)
    assert steps.done == ["curate", "train", "choose"]
    steps.done.clear()
    return steps


def test_what_is_whole_is_not_done_again(steps: Steps, warehouse: Warehouse) -> None:
    forge(steps.plan, warehouse)
    assert steps.done == []


def lose_lora(steps: Steps) -> None:
    steps.file.unlink()


def replace_lora(steps: Steps) -> None:
    trained(LAST_STEP, steps.file)


def lose_numbers(steps: Steps) -> None:
    trained(CHOSEN_STEP, steps.file)


def lose_choice(steps: Steps) -> None:
    (steps.lora / "chosen.json").unlink()


def lose_page(steps: Steps) -> None:
    (steps.plan.out / REPORT).unlink()


def choose_another_weight(steps: Steps) -> None:
    path = steps.lora / "chosen.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"weight": 1.2})


def replace_report(steps: Steps) -> None:
    """As `charaforge eval` does that is told to write into the same folder."""
    path = steps.plan.out / "report.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"choice": None})


LOSSES = (
    lose_lora,
    replace_lora,
    lose_numbers,
    lose_choice,
    lose_page,
    choose_another_weight,
    replace_report,
)


@pytest.mark.parametrize("lose", LOSSES)
def test_what_the_choice_left_is_made_again(
    steps: Steps, warehouse: Warehouse, lose: Callable[[Steps], None]
) -> None:
    whole = steps.file.read_bytes()
    lose(steps)
    forge(steps.plan, warehouse)
    assert steps.done == (["train", "choose"] if lose is lose_lora else ["choose"])
    assert steps.file.read_bytes() == whole, "the chosen one, with its numbers"
    assert load_file(steps.file)["a.lora_up.weight"][0, 0] == CHOSEN_STEP
    assert json.loads((steps.lora / "chosen.json").read_text(encoding="utf-8"))["weight"] == 0.8
    assert (steps.plan.out / REPORT).is_file()


def test_a_table_that_another_folder_has_replaced_is_made_again(
    steps: Steps, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    whole = steps.table.read_bytes()
    steps.table.write_bytes(b"the table of another folder with a character of that name")
    with caplog.at_level("INFO", logger="charaforge"):
        forge(steps.plan, warehouse)
    assert f"{steps.table} is no longer the table of this forging" in caplog.text
    assert steps.done == ["curate"], "the same table, so what was made of it stands"
    assert steps.table.read_bytes() == whole
    (kept,) = steps.plan.out.glob("*-of-others*")
    assert kept.read_bytes().startswith(b"the table of another folder")
    steps.table.unlink()
    forge(steps.plan, warehouse)
    assert steps.done == ["curate", "curate"]


def test_a_lora_that_this_forging_did_not_make_is_not_touched(steps: Steps, warehouse: Warehouse) -> None:
    """Although it made another."""
    other = steps.plan.model_copy(update={"lora": "somebodys"})
    file = warehouse.lora_folder("somebodys") / "somebodys.safetensors"
    file.parent.mkdir()
    trained(1, file)
    before = file.read_bytes()
    for _ in range(2):
        with pytest.raises(UsageError, match="somebodys holds another LoRA, which this forging did not make"):
            forge(other, warehouse)
    assert file.read_bytes() == before
    forge(steps.plan, warehouse)
    assert steps.done == []


def test_a_record_without_a_list_of_loras_knows_that_of_its_plan(steps: Steps, warehouse: Warehouse) -> None:
    record = steps.plan.out / RECORD
    told = json.loads(record.read_text(encoding="utf-8"))
    assert told.pop("made") == {steps.plan.lora: "mochi"}
    record.write_text(json.dumps(told), encoding="utf-8")
    forge(steps.plan, warehouse)
    assert steps.done == []
