"""What is not known is said: who captioned, what was trained on."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from charaforge.evaluation.apart import UNCHECKED
from charaforge.evaluation.cautions import warnings_of
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.scoring import Sitting
from charaforge.evaluation.study import Study, prepare
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.warehouse.layout import Warehouse

PROMPTS = Path("docs/prompts/charA_eval_prompts.json").absolute()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of a LoRA that carries no record, and a table that says nothing of taggers."""
    folder = tmp_path_factory.mktemp("place")
    warehouse = Warehouse(folder / "warehouse")
    table = draw_character(Character.from_seed(5), folder / "set", 36, warehouse)
    lora = warehouse.lora_folder("zxq")
    lora.mkdir(parents=True)
    save_file({"a.lora_up.weight": np.ones((2, 2), np.float32)}, lora / "zxq.safetensors")
    asked = {"lora": "zxq", "model": "mini-sd", "table": table, "prompts": PROMPTS, "out": folder / "out"}
    return prepare(EvaluationPlan.model_validate(asked), warehouse)


@pytest.fixture
def captioned(study: Study, tmp_path: Path) -> Path:
    """The same table, with what curation notes beside the tags."""
    with study.plan.table.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    table = tmp_path / "captioned.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0], "tag_scores"])
        writer.writeheader()
        writer.writerows({**row, "tag_scores": json.dumps({"mini-tagger": {"smile": 0.9}})} for row in rows)
    return table


def record(study: Study, table: Path) -> Path:
    path = study.registry.warehouse.lora_folder("zxq") / "resolved_config.yaml"
    told = {"model_id": "mini-sd", "dataset_meta": str(table), "character": study.subject.name}
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def lines(study: Study, beginning: str) -> list[str]:
    told = warnings_of(study, Sitting(study.prompts, 0, 4))
    return [line for line in told if line.startswith(beginning)]


def test_a_lora_without_a_record_may_have_seen_the_references(study: Study) -> None:
    (line,) = lines(study, UNCHECKED)
    assert line.endswith(", as the LoRA carries no record of it: only metadata.csv says so.")
    kept = record(study, study.plan.table)
    assert lines(study, UNCHECKED) == []
    kept.unlink()


def test_the_tagger_of_the_captions_is_told_where_there_is_no_other(study: Study, captioned: Path) -> None:
    assert lines(study, "mini-tagger") == [], "nobody knows who captioned"
    kept = record(study, captioned)
    assert lines(study, "mini-tagger") == [
        "mini-tagger, which judges the tags, also wrote the captions: tag recall and precision may flatter."
    ]
    kept.unlink()
