"""Good settings for models that are unlike SD1.5, for runs that give no configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from charaforge.warehouse.registry import ModelEntry

_MINI: Mapping[str, Any] = {
    "rank": 8,
    "alpha": 8,
    "conv_rank": 16,
    "conv_alpha": 16,
    "learning_rate": 3e-3,
    "optimizer": "adamw",
    "train_batch_size": 8,
    "max_train_steps": 400,
    "validate_every_steps": 50,
    "early_stop_patience": 3,
    "early_stop_tolerance": 0.1,
    "save_every_steps": 400,
    "caption_template": "1girl, [character]",
    "tag_dropout": 0.1,
}
_MINI_SIDE = 256
_SDXL: Mapping[str, Any] = {
    "rank": 16,
    "alpha": 8,
    "learning_rate": 3e-4,
    "train_batch_size": 4,
    "max_train_steps": 500,
    "save_every_steps": 125,
    "validate_every_steps": 50,
    "min_snr_gamma": 8,
    "max_token_length": 225,
}


def preset(base: ModelEntry) -> dict[str, Any]:
    """Return settings that suit a base model; none where the defaults do, which are those of SD1.5.

    Args:
        base: the model. One that renders no more than 256 px (`max_side` of its card) is one of the mini
            family, of SD1.5 or SDXL.
    """
    largest = int(base.card.get("max_side") or 0)
    if 0 < largest <= _MINI_SIDE:
        return dict(_MINI)
    return dict(_SDXL) if base.family == "sdxl" else {}
