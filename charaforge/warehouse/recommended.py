"""The weight that a choice recommends for a LoRA, as the header of its file tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from charaforge.errors import CharaForgeError
from charaforge.warehouse.registry import Registry

NUMBERS_KEY = "charaforge.evaluation"
"""Key of a LoRA's header that holds its numbers, as JSON."""

HINT_KEY = "modelspec.usage_hint"
"""Key of a LoRA's header that says how it is used."""

_WEIGHT = ", weight "


def usage_hint(character: str, weight: float | None) -> str:
    """What a LoRA's header says about its use; of its weight only what was chosen."""
    return f"write {character} first" + ("" if weight is None else f"{_WEIGHT}{weight:g}")


def without_weight(hint: str) -> str:
    """A hint as it was before a weight was chosen."""
    return hint.partition(_WEIGHT)[0]


def chosen_weight(card: Mapping[str, Any], step: str = "") -> float:
    """The weight that was chosen together with a checkpoint.

    Args:
        card: Metadata in the header of a LoRA's file.
        step: Of the checkpoint that is asked about; empty: of that which became the LoRA.

    Returns:
        That weight; 1 where none was chosen, or for another checkpoint.
    """
    try:
        told = json.loads(card[NUMBERS_KEY])
        chosen, weight = int(told["chosen_step"]), float(told["weight"])
    except (KeyError, TypeError, ValueError):
        return 1.0
    return weight if step in ("", str(chosen)) else 1.0


def recommended_weight(name: str, registry: Registry) -> float:
    """The weight that a LoRA is to be used with where nobody names one; 1 where nobody has chosen one.

    Args:
        name: Registry name of a LoRA, or ``<id>@<step>`` of a checkpoint.
        registry: Where it is looked up; a LoRA that is not there, or broken, has weight 1.
    """
    whole, _, step = name.partition("@")
    try:
        card = registry.get(whole, "lora").card
    except CharaForgeError:
        return 1.0
    return chosen_weight(card, step.lstrip("0"))
