"""The tensors of a LoRA file: each kind of update under the keys of kohya and LyCORIS, or of diffusers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from charaforge.diffusion.lora_updates import (
    DoraLayer,
    FullLayer,
    HadamardLayer,
    KroneckerLayer,
    LoraLayer,
    TuckerLayer,
    Update,
)

_PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def precision(name: str) -> torch.dtype:
    """Return the type called "fp16", "bf16" or "fp32"."""
    return _PRECISIONS[name]


def file_tensors(layers: Mapping[str, Update], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Return the tensors of a file in kohya's and LyCORIS' keys, on the CPU.

    Args:
        layers: kohya's layer name -> update.
        dtype: what they are stored in; None keeps the type that they have. An alpha which that type would
            round is stored in float32, which every loader reads: a rounded alpha is another strength.
    """
    found: dict[str, Tensor] = {}
    for name, update in sorted(layers.items()):
        parts = update_tensors(update)
        kept = dtype or next(iter(parts.values())).dtype
        for part, value in parts.items():
            found[f"{name}.{part}"] = value.detach().to("cpu", kept).contiguous()
        alpha = _alpha_of(update)
        if alpha is not None:
            told = torch.tensor(alpha, dtype=kept)
            found[f"{name}.alpha"] = told if float(told) == alpha else torch.tensor(alpha)
    return found


def update_tensors(update: Update) -> dict[str, Tensor]:
    """Return the tensors of one update by kohya's and LyCORIS' names of them, without alpha."""
    if isinstance(update, DoraLayer):
        return update_tensors(update.inner) | {"dora_scale": update.magnitude}
    if isinstance(update, LoraLayer):
        return {"lora_down.weight": update.down, "lora_up.weight": update.up}
    if isinstance(update, TuckerLayer):
        named = {"lora_down.weight": update.down, "lora_up.weight": update.up}
        return named | {"lora_mid.weight": update.mid}
    if isinstance(update, HadamardLayer):
        found = {
            "hada_w1_a": update.a1, "hada_w1_b": update.b1, "hada_w2_a": update.a2, "hada_w2_b": update.b2
        }  # fmt: skip
        cores = {"hada_t1": update.c1, "hada_t2": update.c2}
        return found | {name: core for name, core in cores.items() if core is not None}
    if isinstance(update, KroneckerLayer):
        return _side("lokr_w1", update.left) | _side("lokr_w2", update.right)
    if isinstance(update, FullLayer):
        return {"diff": update.change}
    raise TypeError(f"{type(update).__name__} has no place in a file")


def _side(name: str, part: tuple[Tensor, ...]) -> dict[str, Tensor]:
    if len(part) == 1:
        return {name: part[0]}
    names = (f"{name}_a", f"{name}_b", name.replace("_w", "_t"))
    return dict(zip(names, part, strict=False))


def _alpha_of(update: Update) -> float | None:
    inner = update.inner if isinstance(update, DoraLayer) else update
    return None if isinstance(inner, FullLayer) else float(inner.alpha)  # type: ignore[attr-defined]
