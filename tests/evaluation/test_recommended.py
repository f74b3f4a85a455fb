"""What a choice recommends is followed as long as it is about this file."""

import json
import shutil

from charaforge.diffusion.bundle import load_bundle
from charaforge.evaluation.recommended import recommended_weight
from charaforge.evaluation.rendering import lora_hash
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_sd


def test_the_chosen_weight_is_that_of_the_chosen_file(warehouse: Warehouse) -> None:
    tiny_sd(warehouse.sd / "tiny-sd")
    bundle = load_bundle(warehouse.sd / "tiny-sd", "tiny-sd")
    folder = warehouse.lora_folder("mochi")
    file = folder / "mochi.safetensors"
    random_lora(file, bundle, seed=1)
    assert recommended_weight("mochi", warehouse) == 1.0
    told = {"weight": 1.2, "checkpoint": "mochi@50", "sha256": lora_hash(file)}
    (folder / "chosen.json").write_text(json.dumps(told), encoding="utf-8")
    assert recommended_weight("mochi", warehouse) == 1.2
    assert recommended_weight("mochi@50", warehouse) == 1.2
    assert recommended_weight("mochi@100", warehouse) == 1.0
    random_lora(file, bundle, seed=2)
    assert recommended_weight("mochi", warehouse) == 1.0, "a newer training"
    shutil.rmtree(folder)
    assert recommended_weight("mochi", warehouse) == 1.0
