"""Max-norm regularisation, as kohya's `scale_weight_norms`: no layer may change its weight too much."""

from __future__ import annotations

import torch
from torch import Tensor

from charaforge.training.adapters.layers import DOWN, UP, TrainedLayer

_PAIRS = ((DOWN, UP), ("hada_w1_a", "hada_w1_b"), ("lokr_w1", "lokr_w2"))


@torch.no_grad()
def limit_norm(layer: TrainedLayer, largest: float) -> None:
    """Scale two factors of a layer by the same number, so that |s B A| (Frobenius) is `largest` at most.

    A DoRA's magnitude stays as it is. Nothing is read back from the device.

    Args:
        layer: its weights are changed in place.
        largest: above 0.
    """
    ratio = (largest / change_norm(layer).clamp(min=1e-12)).clamp(max=1.0)
    first, second = next(pair for pair in _PAIRS if _held(layer, pair[0]))
    for name in (first, second):
        _held(layer, name)[0].mul_(ratio.sqrt())


def change_norm(layer: TrainedLayer) -> Tensor:
    """Return the Frobenius norm of a layer's change of its weight, without a DoRA's magnitude; no axes.

    |B A|² is the sum over (Bᵀ B) * (A Aᵀ), whose sides are the rank; |kron(C1, C2)| is |C1| |C2|.
    """
    held = layer.weights
    if DOWN in held:
        return layer.scale * _product_norm(held[UP].flatten(1), held[DOWN].flatten(1))
    if "hada_w1_a" in held:
        product = (held["hada_w1_a"] @ held["hada_w1_b"]) * (held["hada_w2_a"] @ held["hada_w2_b"])
        norm: Tensor = layer.scale * torch.linalg.vector_norm(product)
        return norm
    sides = [_held(layer, name) for name in ("lokr_w1", "lokr_w2")]
    one, two = (_product_norm(*s) if len(s) == 2 else torch.linalg.vector_norm(s[0]) for s in sides)
    return layer.scale * one * two


def _held(layer: TrainedLayer, name: str) -> list[Tensor]:
    """Return the weight of a name, or the two factors that it has instead."""
    names = (name,) if name in layer.weights else (f"{name}_a", f"{name}_b")
    return [layer.weights[each] for each in names if each in layer.weights]


def _product_norm(left: Tensor, right: Tensor) -> Tensor:
    squared = ((left.T @ left) * (right @ right.T)).sum()
    return squared.clamp(min=0).sqrt()
