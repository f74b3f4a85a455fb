"""Several LoRAs in one, or LoRAs in a copy of a model.

Side by side, the directions of all LoRAs are kept: up = [w1 s1 up1, w2 s2 up2, …], down likewise, which adds
to a weight exactly what the LoRAs add together. With a rank the sum is compressed to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_adapters import Strength
from charaforge.diffusion.lora_format import LoraFile
from charaforge.diffusion.lora_names import LoraTarget, Place
from charaforge.diffusion.lora_tools.layer_table import by_layer
from charaforge.diffusion.lora_tools.low_rank import Compressed, RankChoice, compress, compress_whole
from charaforge.diffusion.lora_updates import DoraLayer, LoraLayer, Update
from charaforge.errors import ModelFileError, UsageError

_Share = tuple[Place, Update, float]


@dataclass(frozen=True)
class Ingredient:
    """A LoRA and how much of it."""

    lora: LoraFile
    strength: Strength


@dataclass(frozen=True)
class Merged:
    """LoRAs in one.

    Attributes:
        layers: kohya's name -> update.
        error: share of the Frobenius norm of the sum that compressing lost; 0 where nothing was compressed.
    """

    layers: Mapping[str, LoraLayer]
    error: float


def merge(ingredients: Sequence[Ingredient], model: LoraTarget, choice: RankChoice | None = None) -> Merged:
    """Add LoRAs up.

    Args:
        ingredients: one or more.
        model: what they all are for; its weights do not count.
        choice: of the rank of each layer; None keeps all directions.

    Raises:
        ModelFileError: one is for another model, or is a DoRA.
        UsageError: one is no plain LoRA, and no rank is given.
    """
    shares: dict[str, list[_Share]] = {}
    for each in ingredients:
        for place, update in by_layer(each.lora.layers, model):
            shares.setdefault(place.name, []).append((place, update, each.strength.at(place)))
    layers, lost, whole = {}, 0.0, 0.0
    for name, parts in shares.items():
        if choice is None:
            layers[name] = _side_by_side(parts)
            continue
        found = _compressed_sum(parts, choice)
        layers[name], lost, whole = found.layer, lost + found.lost, whole + found.whole
    return Merged(layers, (lost / whole) ** 0.5 if whole > 0 else 0.0)


@torch.no_grad()
def merge_into(bundle: Bundle, ingredients: Sequence[Ingredient]) -> int:
    """Add LoRAs of any kind to the weights of a model, one after the other; return how many layers changed.

    Raises:
        ModelFileError: one is for another model; the bundle is then unchanged.
    """
    every = [(each, by_layer(each.lora.layers, bundle)) for each in ingredients]
    changed = set()
    for each, found in every:
        for place, update in found:
            weight = place.module.weight
            change = each.strength.at(place) * update.delta(weight)
            weight.data = (weight.float() + change).to(weight.dtype)
            changed.add(place.name)
    return len(changed)


def _side_by_side(parts: Sequence[_Share]) -> LoraLayer:
    downs, ups = [], []
    for place, update, weight in parts:
        if not isinstance(update, LoraLayer):
            _refuse_dora(place, update)
            raise UsageError(f"layer {place.name} is no plain LoRA", "give a rank to compress the sum to")
        up, down = _halves(place, update, weight)
        ups.append(up)
        downs.append(down)
    down, up = torch.cat(downs), torch.cat(ups, dim=1)
    return LoraLayer(*_shaped(parts[0][0], down, up), float(down.shape[0]))


def _compressed_sum(parts: Sequence[_Share], choice: RankChoice) -> Compressed:
    shape = tuple(parts[0][0].module.weight.shape)
    if all(isinstance(update, LoraLayer) for _, update, _ in parts):
        halves = [_halves(place, update, weight) for place, update, weight in parts]  # type: ignore[arg-type]
        left, right = torch.cat([up for up, _ in halves], dim=1), torch.cat([down for _, down in halves])
        return compress(left, right, shape, choice)
    total = torch.zeros(shape)
    for place, update, weight in parts:
        _refuse_dora(place, update)
        total += weight * update.delta(torch.zeros(shape))
    return compress_whole(total, choice)


def _halves(place: Place, update: LoraLayer, weight: float) -> tuple[Tensor, Tensor]:
    """Return (out, r), all strengths in it, and (r, in kh kw), float32."""
    up = update.up.float().flatten(1) * (weight * update.alpha / update.rank)
    return up, update.down.float().flatten(1)


def _shaped(place: Place, down: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Return both halves in the shapes that files have them in."""
    shape = place.module.weight.shape
    kernel = shape[2:]
    return (
        down.reshape(-1, shape[1], *kernel).contiguous(),
        up.reshape(shape[0], -1, *[1] * len(kernel)).contiguous(),
    )


def _refuse_dora(place: Place, update: Update) -> None:
    if isinstance(update, DoraLayer):
        raise ModelFileError(
            f"layer {place.name} is a DoRA, whose change depends on the base's weights",
            "merge it into a model with --into",
        )
