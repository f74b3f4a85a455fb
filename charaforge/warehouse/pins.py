"""LoRAs that workers keep loaded: one small file each, which every worker of the warehouse follows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.layout import Warehouse


@dataclass(frozen=True)
class Pin:
    """One LoRA that is kept loaded.

    Attributes:
        lora: its registry name; a checkpoint is <id>@<step>.
        model: registry name of the base that it is loaded on.
    """

    lora: str
    model: str


def pin(warehouse: Warehouse, lora: str, model: str) -> Pin:
    """Keep a LoRA loaded on a base from now on; the caller has looked both up in the registry."""
    write_json(_file(warehouse, lora), {"lora": lora, "model": model})
    return Pin(lora, model)


def unpin(warehouse: Warehouse, lora: str) -> bool:
    """Let a LoRA go; return whether it was pinned."""
    try:
        _file(warehouse, lora).unlink()
    except FileNotFoundError:
        return False
    return True


def pinned(warehouse: Warehouse) -> list[Pin]:
    """Return the LoRAs that are kept loaded, by name; a file that is no pin is left out."""
    found = []
    for file in sorted(_folder(warehouse).glob("*.json")):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            found.append(Pin(str(told["lora"]), str(told["model"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _folder(warehouse: Warehouse) -> Path:
    return warehouse.lora / ".pinned"  # the registry does not look at hidden folders


def _file(warehouse: Warehouse, lora: str) -> Path:
    return _folder(warehouse) / f"{lora}.json"
