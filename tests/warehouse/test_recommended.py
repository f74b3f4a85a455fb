"""What a choice recommends travels in the LoRA's file, and is followed where nobody names a weight."""

import shutil
from pathlib import Path

import pytest

from charaforge.diffusion.bundle import load_bundle
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import NUMBERS_KEY, chosen_weight, recommended_weight
from charaforge.warehouse.registry import Registry
from tests.fixtures.tiny_loras import note_choice, random_lora
from tests.fixtures.tiny_models import tiny_sd


@pytest.fixture
def lora(warehouse: Warehouse) -> Path:
    """A LoRA in the warehouse of which nothing was measured."""
    tiny_sd(warehouse.sd / "tiny-sd")
    file = warehouse.lora_folder("mochi") / "mochi.safetensors"
    random_lora(file, load_bundle(warehouse.sd / "tiny-sd", "tiny-sd"), seed=1)
    return file


def test_the_chosen_weight_is_that_of_the_chosen_file(lora: Path, warehouse: Warehouse) -> None:
    registry = Registry(warehouse)
    assert recommended_weight("mochi", registry) == 1.0
    untouched = lora.read_bytes()
    note_choice(lora, weight=1.2, chosen_step=50)
    assert recommended_weight("mochi", registry) == 1.2
    assert recommended_weight("mochi@50", registry) == 1.2
    assert recommended_weight("mochi@00000050", registry) == 1.2
    assert recommended_weight("mochi@100", registry) == 1.0
    lora.write_bytes(untouched)
    assert recommended_weight("mochi", registry) == 1.0, "a newer training"
    shutil.rmtree(lora.parent)
    assert recommended_weight("mochi", registry) == 1.0


def test_a_weight_that_was_only_looked_at_is_not_recommended(lora: Path, warehouse: Warehouse) -> None:
    note_choice(lora, weight=0.6)
    assert recommended_weight("mochi", Registry(warehouse)) == 1.0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"chosen_step": "x", "weight": 1}'])
def test_a_header_that_others_wrote(text: str) -> None:
    assert chosen_weight({NUMBERS_KEY: text}) == 1.0
