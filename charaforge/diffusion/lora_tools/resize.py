"""A LoRA at a lower rank, layer by layer the nearest one, and what is lost by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from charaforge.diffusion.lora_names import LoraTarget
from charaforge.diffusion.lora_tools.layer_table import by_layer
from charaforge.diffusion.lora_tools.low_rank import Compressed, RankChoice, compress, compress_whole
from charaforge.diffusion.lora_updates import DoraLayer, LoraLayer, Update


@dataclass(frozen=True)
class Resized:
    """A LoRA after `resize`.

    Attributes:
        layers: kohya's name -> update; alpha / rank is what it was.
        lost: kohya's name -> share of the Frobenius norm of the layer's change that is lost, 0 to 1.
        error: the same over all layers together.
    """

    layers: Mapping[str, Update]
    lost: Mapping[str, float]
    error: float

    @property
    def ranks(self) -> list[int]:
        """The ranks of the layers."""
        return [plain_rank(update) for update in self.layers.values()]


def resize(layers: Mapping[str, Update], model: LoraTarget, choice: RankChoice) -> Resized:
    """Compress every layer; LoHa, LoKr and whole changes become plain LoRA layers.

    Of a DoRA the low-rank part is compressed, its lengths stay.

    Args:
        layers: the file's name of a layer -> update.
        model: what the LoRA is for; its weights do not count.
        choice: of the ranks.

    Raises:
        ModelFileError: the LoRA is for another model.
    """
    done: dict[str, tuple[Update, Compressed]] = {}
    for place, update in by_layer(layers, model):
        inner = update.inner if isinstance(update, DoraLayer) else update
        found = compressed(inner, tuple(place.module.weight.shape), choice)
        layer: Update = _with_scale(found.layer, inner)
        layer = DoraLayer(layer, update.magnitude) if isinstance(update, DoraLayer) else layer
        done[place.name] = (layer, found)
    lost = {name: _share(found.lost, found.whole) for name, (_, found) in done.items()}
    total = [sum(getattr(found, side) for _, found in done.values()) for side in ("lost", "whole")]
    return Resized({name: layer for name, (layer, _) in done.items()}, lost, _share(*total))


def compressed(update: Update, shape: tuple[int, ...], choice: RankChoice) -> Compressed:
    """Return the best approximation of an update's change of a weight of this shape.

    Args:
        update: any kind but DoRA, whose change depends on the weight itself.
        shape: (out, in) or (out, in, kh, kw).
        choice: of the rank.
    """
    if isinstance(update, LoraLayer):
        scale = update.alpha / update.rank
        return compress(update.up.float().flatten(1) * scale, update.down.float().flatten(1), shape, choice)
    change: Tensor = update.delta(torch.zeros(shape))
    return compress_whole(change, choice)


def plain_rank(update: Update) -> int:
    """Return the rank of a LoRA or DoRA layer, 0 of another kind."""
    inner = update.inner if isinstance(update, DoraLayer) else update
    return inner.rank if isinstance(inner, LoraLayer) else 0


def _with_scale(layer: LoraLayer, before: Update) -> LoraLayer:
    """Return a layer of alpha / rank as it was before, its weights taking up the rest."""
    if not isinstance(before, LoraLayer) or before.alpha <= 0:
        return layer
    scale = before.alpha / before.rank
    root = math.sqrt(scale)
    return LoraLayer(layer.down / root, layer.up / root, scale * layer.rank)


def _share(lost: float, whole: float) -> float:
    return math.sqrt(max(lost, 0.0) / whole) if whole > 0 else 0.0
