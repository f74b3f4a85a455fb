"""The weight that a choice recommends for a LoRA."""

import json

from charaforge.evaluation.publish import CHOSEN
from charaforge.evaluation.rendering import lora_hash
from charaforge.warehouse.layout import Warehouse


def recommended_weight(name: str, warehouse: Warehouse) -> float:
    """The weight that ``chosen.json`` tells; 1 where nothing was chosen, or another file lies there since.

    Args:
        name: Registry name of a LoRA, or of a checkpoint of one.
        warehouse: Where it lies.
    """
    folder = warehouse.lora_folder(name.partition("@")[0])
    file = folder / f"{folder.name}.safetensors"
    if not (folder / CHOSEN).is_file() or not file.is_file():
        return 1.0
    told = json.loads((folder / CHOSEN).read_text(encoding="utf-8"))
    same = name == told.get("checkpoint") if "@" in name else lora_hash(file) == told.get("sha256")
    return float(told["weight"]) if same else 1.0
