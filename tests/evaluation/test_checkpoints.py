"""The chosen checkpoint becomes the LoRA: whole, with its numbers, and without losing anything."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.card import BEGIN, with_measures
from charaforge.evaluation.checkpoints import adopt, checkpoints_of
from charaforge.evaluation.publish import note_in_lora
from charaforge.evaluation.rendering import lora_hash
from charaforge.evaluation.results import Evaluation
from charaforge.warehouse.cards import safetensors_metadata
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import NUMBERS_KEY
from charaforge.warehouse.registry import Registry
from tests.evaluation.findings import finding, with_choice


def lora(path: Path, step: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {"a.lora_up.weight": np.full((2, 2), step, np.float32)}, path, {"ss_steps": str(step), "other": "é"}
    )
    return path


@pytest.fixture
def folder(warehouse: Warehouse) -> Path:
    folder = warehouse.lora_folder("zxq")
    for step in (100, 200):
        lora(folder / "checkpoints" / f"zxq-step{step:08d}.safetensors", step)
    lora(folder / "zxq.safetensors", 300)
    return folder


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    return with_choice(finding(tmp_path))


def test_the_lora_itself_is_kept_before_it_is_replaced(folder: Path, warehouse: Warehouse) -> None:
    found = checkpoints_of("zxq", warehouse, 8)
    assert [(one.name, one.step) for one in found] == [("zxq@100", 100), ("zxq@200", 200), ("zxq@300", 300)]
    assert lora_hash(found[-1].file) == lora_hash(folder / "zxq.safetensors")
    assert checkpoints_of("zxq", warehouse, 8) == found


def test_of_many_as_many_as_asked_for_and_the_last(folder: Path, warehouse: Warehouse) -> None:
    for step in range(1000, 3000, 100):
        lora(folder / "checkpoints" / f"zxq-step{step:08d}.safetensors", step)
    few = [one.step for one in checkpoints_of("zxq", warehouse, 5)]
    assert (few[0], few[-1], len(few)) == (100, 2900, 5)
    assert [one.step for one in checkpoints_of("zxq", warehouse, 1)] == [2900]


def test_no_checkpoints_are_not_measurable(warehouse: Warehouse) -> None:
    warehouse.lora_folder("nobody").mkdir()
    with pytest.raises(NotMeasurableError, match="no checkpoints") as caught:
        checkpoints_of("nobody", warehouse, 8)
    assert "save_every_steps" in caught.value.hint


def test_the_chosen_one_becomes_the_lora(folder: Path, warehouse: Warehouse, evaluation: Evaluation) -> None:
    known = checkpoints_of("zxq", warehouse, 8)
    told = json.loads(adopt(evaluation, warehouse).read_text(encoding="utf-8"))
    assert (told["checkpoint"], told["step"], told["weight"]) == ("zxq@200", 200, 0.8)
    own, chosen = folder / "zxq.safetensors", folder / told["file"]
    assert load_file(own)["a.lora_up.weight"].tolist() == load_file(chosen)["a.lora_up.weight"].tolist()
    assert lora_hash(own) == lora_hash(chosen) == told["sha256"], "what evaluations note is no other LoRA"
    header = safetensors_metadata(own)
    assert json.loads(header[NUMBERS_KEY])["ccr"] == told["ccr"] == 1.0
    assert header["modelspec.usage_hint"].endswith(" first, weight 0.8")
    assert header["other"] == "é"
    assert checkpoints_of("zxq", warehouse, 8) == known, "chosen again it has the same to choose from"
    assert not list(folder.glob("zxq-before-*")), "the former file is a checkpoint"
    assert not [path for path in folder.rglob("*") if ".tmp" in path.name]


@pytest.mark.parametrize("header", [{"ss_steps": "200"}, {"ss_steps": "many"}, {"note": "merged"}, {}])
def test_a_lora_that_cannot_be_a_checkpoint_is_kept_beside_the_chosen_one(
    folder: Path,
    warehouse: Warehouse,
    evaluation: Evaluation,
    header: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = folder / "zxq.safetensors"
    save_file({"a.lora_up.weight": np.full((2, 2), 7, np.float32)}, own, header)
    before = own.read_bytes()
    known = checkpoints_of("zxq", warehouse, 8)
    assert [one.step for one in known] == [100, 200]
    with caplog.at_level("INFO", "charaforge"):
        adopt(evaluation, warehouse)
    (kept,) = folder.glob("zxq-before-*.safetensors")
    assert kept.read_bytes() == before != own.read_bytes()
    assert str(kept) in caplog.text
    adopt(evaluation, warehouse)
    assert list(folder.glob("zxq-before-*")) == [kept], "what was chosen is a checkpoint already"
    assert checkpoints_of("zxq", warehouse, 8) == known
    registry = Registry(warehouse)
    assert [entry.name for entry in registry.list("lora")] == ["zxq"]
    assert registry.get("zxq", "lora").card[NUMBERS_KEY]


def test_what_was_trained_while_the_choice_was_made_is_kept_as_well(
    folder: Path, warehouse: Warehouse, evaluation: Evaluation
) -> None:
    checkpoints_of("zxq", warehouse, 8)
    before = lora(folder / "zxq.safetensors", 400).read_bytes()
    adopt(evaluation, warehouse)
    (kept,) = folder.glob("zxq-before-*.safetensors")
    assert kept.read_bytes() == before


def test_nothing_chosen_nothing_adopted(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing was chosen"):
        adopt(finding(tmp_path), warehouse)


def test_other_tensors_and_other_headers_are_other_loras(tmp_path: Path) -> None:
    one, two = lora(tmp_path / "a.safetensors", 1), lora(tmp_path / "b.safetensors", 2)
    assert lora_hash(one) != lora_hash(two)
    save_file({"a.lora_up.weight": np.ones((2, 2), np.float32)}, two, {"ss_steps": "1", "other": "else"})
    assert lora_hash(one) != lora_hash(two)


def test_the_numbers_stand_in_card_and_header_once(folder: Path, evaluation: Evaluation) -> None:
    card = folder / "MODEL_CARD.md"
    card.write_text("# zxq\n\n## Limits\nNone.\n\n## Licence\nOurs.\n", encoding="utf-8")
    for _ in range(2):
        note_in_lora(evaluation, folder)
    text = card.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count("## Measured") == 1
    assert text.startswith("# zxq\n\n## Limits")
    assert "## Licence\nOurs." in text
    assert "| LoRA | 15 | 1.000 |" in text
    assert "Recommended weight: 0.8" in text
    assert json.loads(safetensors_metadata(folder / "zxq.safetensors")[NUMBERS_KEY])["prompts"] == 5


def test_a_quick_look_does_not_replace_a_certificate(folder: Path, evaluation: Evaluation) -> None:
    note_in_lora(evaluation, folder)
    before = (folder / "zxq.safetensors").read_bytes()
    lora = evaluation.arm("lora")
    fewer = lora.model_copy(update={"accepted": replace(lora.accepted, pictures=2, estimate=0.5)})
    quick = evaluation.model_copy(update={"arms": (*evaluation.arms[:2], fewer)})
    note_in_lora(quick, folder)
    assert (folder / "zxq.safetensors").read_bytes() == before
    note_in_lora(quick.model_copy(update={"lora_sha256": "another"}), folder)
    assert (folder / "zxq.safetensors").read_bytes() != before, "another LoRA has numbers of its own"


def test_a_card_that_was_mended_by_hand_keeps_what_follows(evaluation: Evaluation) -> None:
    card = with_measures("# zxq\n", evaluation) + "\n## My own words\nkept\n"
    again = with_measures(card, evaluation.model_copy(update={"lora_weight": 0.6}))
    assert "## My own words\nkept" in again
    assert "Recommended weight: 0.6" in again
    assert "Recommended weight: 0.8" not in again
