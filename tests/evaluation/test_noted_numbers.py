"""A look at a chosen LoRA does not replace the weight and the numbers of its choice."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from charaforge.evaluation.publish import note_in_lora
from charaforge.evaluation.results import Evaluation
from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.cards import safetensors_metadata
from charaforge.warehouse.recommended import NUMBERS_KEY
from tests.evaluation.findings import finding, with_choice


@pytest.fixture
def chosen(tmp_path: Path) -> Evaluation:
    return with_choice(finding(tmp_path))


@pytest.fixture
def folder(tmp_path: Path, chosen: Evaluation) -> Path:
    """A LoRA's folder after a choice."""
    folder = tmp_path / "zxq"
    folder.mkdir()
    save_file({"a.lora_up.weight": np.ones((2, 2), np.float32)}, folder / "zxq.safetensors")
    (folder / "MODEL_CARD.md").write_text("# zxq\n", encoding="utf-8")
    write_json(folder / "chosen.json", {"sha256": chosen.lora_sha256, "weight": chosen.lora_weight})
    note_in_lora(chosen, folder)
    return folder


def told(folder: Path) -> tuple[str, str, str]:
    header = safetensors_metadata(folder / "zxq.safetensors")
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    return card, header[NUMBERS_KEY], header["modelspec.usage_hint"]


def assert_only_measured(folder: Path) -> None:
    """At 0.6: the numbers are noted, the weight is recommended by nobody."""
    card, numbers, hint = told(folder)
    assert "Measured at weight 0.6." in card
    assert "Recommended" not in card
    assert json.loads(numbers)["weight"] == 0.6
    assert "0.6" not in hint


def test_the_choice_itself_is_noted(folder: Path) -> None:
    card, numbers, hint = told(folder)
    assert "Recommended weight: 0.8." in card
    assert json.loads(numbers)["weight"] == 0.8
    assert hint == "write zxq & co first, weight 0.8"


@pytest.mark.parametrize(
    "change", [{"choice": None}, {"lora_weight": 1.2}, {"choice": None, "lora_weight": 0}]
)
def test_neither_numbers_without_a_choice_nor_at_another_weight(
    folder: Path, chosen: Evaluation, change: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    before = told(folder)
    with caplog.at_level("INFO", logger="charaforge"):
        note_in_lora(chosen.model_copy(update=change), folder)
    assert told(folder) == before
    assert "zxq keeps the weight and the numbers of its choice" in caplog.text


def test_another_lora_in_its_place_has_numbers_of_its_own(folder: Path, chosen: Evaluation) -> None:
    other = chosen.model_copy(update={"choice": None, "lora_sha256": "12" * 32, "lora_weight": 0.6})
    note_in_lora(other, folder)
    assert_only_measured(folder)


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_the_choice_in_the_header_holds_without_its_record(
    folder: Path, chosen: Evaluation, text: str | None
) -> None:
    path, before = folder / "chosen.json", told(folder)
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    for weight in (0.6, chosen.lora_weight):
        note_in_lora(chosen.model_copy(update={"choice": None, "lora_weight": weight}), folder)
        assert told(folder) == before


def test_nothing_known_of_a_choice_forbids_nothing(folder: Path, chosen: Evaluation) -> None:
    (folder / "chosen.json").unlink()
    save_file({"a.lora_up.weight": np.ones((2, 2), np.float32)}, folder / "zxq.safetensors")
    note_in_lora(chosen.model_copy(update={"choice": None, "lora_weight": 0.6}), folder)
    assert_only_measured(folder)


def test_a_weight_that_nobody_chose_is_not_recommended(tmp_path: Path) -> None:
    measured = finding(tmp_path).model_copy(update={"lora_weight": 0})
    file = tmp_path / "zxq" / "zxq.safetensors"
    file.parent.mkdir()
    save_file(
        {"a.lora_up.weight": np.ones((2, 2), np.float32)},
        file,
        {"modelspec.usage_hint": "write zxq, weight 0.7"},
    )
    (file.parent / "MODEL_CARD.md").write_text("# zxq\n", encoding="utf-8")
    note_in_lora(measured, file.parent)
    card, numbers, hint = told(file.parent)
    assert "Measured at weight 0." in card
    assert "Recommended" not in card
    assert json.loads(numbers)["weight"] == 0
    assert hint == "write zxq & co first"


def test_numbers_at_weight_1_stay_until_another_weight_is_chosen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = finding(tmp_path)
    folder = tmp_path / "zxq"
    folder.mkdir()
    save_file({"a.lora_up.weight": np.ones((2, 2), np.float32)}, folder / "zxq.safetensors")
    (folder / "MODEL_CARD.md").write_text("# zxq\n", encoding="utf-8")
    half, other = {"lora_weight": 0.5}, {"lora_weight": 0.5, "lora_sha256": "12" * 32}
    note_in_lora(whole.model_copy(update=half), folder)
    note_in_lora(whole, folder)
    with caplog.at_level("INFO", logger="charaforge"):
        note_in_lora(whole.model_copy(update=half), folder)
    assert "zxq keeps the numbers it has, at weight 1" in caplog.text
    assert "Measured at weight 1." in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    note_in_lora(with_choice(whole), folder)
    assert told(folder)[2] == "write zxq & co first, weight 0.8"
    note_in_lora(whole, folder)
    note_in_lora(whole.model_copy(update=other), folder)
    card, numbers, _ = told(folder)
    assert "Measured at weight 0.5." in card, "another LoRA has numbers of its own"
    assert json.loads(numbers)["weight"] == 0.5
