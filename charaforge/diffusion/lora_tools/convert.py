"""A LoRA under other keys or in another number format; its effect stays the same.

kohya        lora_unet_….lora_down.weight, .alpha: what every program reads (LyCORIS' kinds too)
diffusers    unet.….lora_A.weight: what peft and diffusers write. Its files have no alpha that every version
             of diffusers reads; the strength is multiplied into lora_B, and alpha is the rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from charaforge.diffusion.lora_format import LoraFile, write_lora, write_tensors
from charaforge.diffusion.lora_names import LoraTarget, Place
from charaforge.diffusion.lora_tools.layer_table import by_layer
from charaforge.diffusion.lora_updates import DoraLayer, LoraLayer, Update
from charaforge.errors import ModelFileError

KeyStyle = Literal["kohya", "diffusers"]


def convert(
    lora: LoraFile, model: LoraTarget, out: Path, keys: KeyStyle, dtype: torch.dtype | None = None
) -> None:
    """Write a LoRA under the keys of a style.

    Args:
        lora: what to write.
        model: what the LoRA is for; its weights do not count.
        out: where to.
        keys: "kohya" or "diffusers".
        dtype: what it is stored in; None keeps the types.

    Raises:
        ModelFileError: the LoRA is for another model, or of a kind that the style has no keys for.
    """
    if keys == "kohya":
        write_lora(out, kohya_named(lora, model), lora.metadata, dtype)
    else:
        write_for_diffusers(out, lora, model, dtype)


def kohya_named(lora: LoraFile, model: LoraTarget) -> dict[str, Update]:
    """Return the updates of a LoRA by kohya's names."""
    return {place.name: update for place, update in by_layer(lora.layers, model)}


def write_for_diffusers(
    path: Path, lora: LoraFile, model: LoraTarget, dtype: torch.dtype | None = None
) -> None:
    """Write a LoRA in the keys of diffusers and peft, see `convert`."""
    tensors: dict[str, Tensor] = {}
    for place, update in by_layer(lora.layers, model):
        for part, value in _peft_tensors(place, update).items():
            kept = dtype or _dtype_of(update)
            tensors[f"{place.dotted}.{part}"] = value.to("cpu", kept).contiguous()
    write_tensors(path, tensors, _without_alpha(lora.metadata))


def _peft_tensors(place: Place, update: Update) -> Mapping[str, Tensor]:
    inner = update.inner if isinstance(update, DoraLayer) else update
    if not isinstance(inner, LoraLayer):
        raise ModelFileError(
            f"layer {place.name} is no LoRA but a {type(inner).__name__}, for which diffusers has no keys",
            "convert it to kohya's keys, or first to a plain LoRA:  charaforge lora resize",
        )
    found = {"lora_A.weight": inner.down, "lora_B.weight": inner.up.float() * (inner.alpha / inner.rank)}
    if isinstance(update, DoraLayer):
        found["lora_magnitude_vector"] = _along_outputs(place, update.magnitude)
    return found


def _along_outputs(place: Place, magnitude: Tensor) -> Tensor:
    weight = place.module.weight
    if magnitude.numel() != weight.shape[0] or magnitude.shape[0] == 1 != weight.shape[0]:
        raise ModelFileError(
            f"layer {place.name} is a DoRA with lengths along its inputs, which peft has not",
            "keep it in kohya's keys",
        )
    return magnitude.reshape(1, -1, 1, 1) if weight.ndim == 4 else magnitude.flatten()


def _dtype_of(update: Update) -> torch.dtype:
    inner = update.inner if isinstance(update, DoraLayer) else update
    return inner.down.dtype if isinstance(inner, LoraLayer) else torch.float32


def _without_alpha(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return a header without settings that are true no more: the alpha is the rank now."""
    gone = {"lora_adapter_metadata"}
    told = {key: value for key, value in metadata.items() if key not in gone}
    return told | ({"ss_network_alpha": told["ss_network_dim"]} if "ss_network_dim" in told else {})
