"""The kinds of update that LoRA files hold, each with the published equation of its change D of a weight W.

    LoRA     D = alpha/r  up down                     (Hu et al. 2021); of convolutions, up is 1 x 1
    Tucker   D[o,i] = alpha/r  sum over a, b of up[o,a] mid[a,b] down[b,i]         (LyCORIS, `lora_mid`)
    LoHa     D = alpha/r  (A1 B1) * (A2 B2)           (Hyeon-Woo et al. 2021); also with cores as Tucker's
    LoKr     D = alpha/r  kron(C1, C2)                (Yeh et al. 2023); a C is whole, or A B with rank r
    full     D itself
    DoRA     D = m (W + D') / |W + D'| - W            (Liu et al. 2024), D' any of the others; |.| is the
             norm over all axes but the one along which m lies

Tensors keep the type they have in the file; changes are computed in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor


class Update(Protocol):
    """A change of one layer's weight."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight that it is for; the axes after the first may be joined."""

    def delta(self, weight: Tensor) -> Tensor:
        """Return D for a weight W: float32, in W's shape, on W's device."""


@dataclass(frozen=True)
class LoraLayer:
    """The low-rank update of one layer.

    Attributes:
        down: (r, in) of a linear layer, (r, in, kh, kw) of a convolution.
        up: (out, r), or (out, r, 1, 1).
        alpha: the update is scaled by alpha / r.
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Number r of the update's directions."""
        return int(self.down.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Update`."""
        return (self.up.shape[0], *self.down.shape[1:])

    def delta(self, weight: Tensor) -> Tensor:
        """See `Update`."""
        up, down = _ready(weight, self.up, self.down)
        return (self.alpha / self.rank * up.flatten(1) @ down.flatten(1)).view_as(weight)


@dataclass(frozen=True)
class TuckerLayer:
    """A convolution's update with a core: down (b, in, 1, 1), mid (a, b, kh, kw), up (out, a, 1, 1)."""

    down: Tensor
    up: Tensor
    mid: Tensor
    alpha: float

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Update`."""
        return (self.up.shape[0], self.down.shape[1], *self.mid.shape[2:])

    def delta(self, weight: Tensor) -> Tensor:
        """See `Update`."""
        up, down, mid = _ready(weight, self.up, self.down, self.mid)
        product = torch.einsum("oa,abkl,bi->oikl", up.flatten(1), mid, down.flatten(1))
        return (self.alpha / self.down.shape[0] * product).view_as(weight)


@dataclass(frozen=True)
class HadamardLayer:
    """LoHa: a (out, r) and b (r, in kh kw), twice; with cores c (r, r, kh, kw): a (r, out), b (r, in)."""

    a1: Tensor
    b1: Tensor
    a2: Tensor
    b2: Tensor
    c1: Tensor | None
    c2: Tensor | None
    alpha: float

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Update`."""
        if self.c1 is None:
            return (self.a1.shape[0], self.b1.shape[1])
        return (self.a1.shape[1], self.b1.shape[1], *self.c1.shape[2:])

    def delta(self, weight: Tensor) -> Tensor:
        """See `Update`."""
        product = _factored(weight, self.a1, self.b1, self.c1) * _factored(weight, self.a2, self.b2, self.c2)
        return (self.alpha / self.b1.shape[0] * product).view_as(weight)


@dataclass(frozen=True)
class KroneckerLayer:
    """LoKr: `left`, `right` are each a whole matrix, or (a, b) or (a, b, core), as in `HadamardLayer`."""

    left: tuple[Tensor, ...]
    right: tuple[Tensor, ...]
    alpha: float

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Update`."""
        one, two = _shape_of(self.left), _shape_of(self.right)
        return (one[0] * two[0], one[1] * two[1], *two[2:])

    def delta(self, weight: Tensor) -> Tensor:
        """See `Update`."""
        left, right = (_whole(weight, part) for part in (self.left, self.right))
        factored = next((part for part in (self.right, self.left) if len(part) > 1), None)
        scale = self.alpha / factored[1].shape[0] if factored else 1.0
        return (scale * torch.kron(left.view(*left.shape, *[1] * (right.ndim - 2)), right)).view_as(weight)


@dataclass(frozen=True)
class FullLayer:
    """A change that is stored as it is."""

    change: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Update`."""
        return tuple(self.change.shape)

    def delta(self, weight: Tensor) -> Tensor:
        """See `Update`."""
        return _ready(weight, self.change)[0].view_as(weight)


@dataclass(frozen=True)
class DoraLayer:
    """Another update of which the direction counts; `magnitude` is (out, …), or by input (1, in, …)."""

    inner: Update
    magnitude: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Update`."""
        return self.inner.shape

    def delta(self, weight: Tensor) -> Tensor:
        """See `Update`."""
        base, magnitude = _ready(weight, weight, self.magnitude)
        changed = base + self.inner.delta(weight)
        axis = 0 if magnitude.shape[0] == weight.shape[0] else 1
        rest = [other for other in range(changed.ndim) if other != axis]
        norm = torch.linalg.vector_norm(changed, dim=rest, keepdim=True) + torch.finfo(torch.float32).eps
        decomposed: Tensor = changed * (magnitude.reshape(norm.shape) / norm) - base
        return decomposed


def fits(update: Update, weight: Tensor) -> bool:
    """Return whether an update is for a weight of this shape."""
    shape = update.shape
    magnitude = update.magnitude.numel() if isinstance(update, DoraLayer) else weight.shape[0]
    same = shape[0] == weight.shape[0] and math.prod(shape) == weight.numel()
    return same and magnitude in weight.shape[:2]


def size_in_bytes(update: Update) -> int:
    """Return the memory of an update's tensors."""
    total = 0
    for place in fields(update):  # type: ignore[arg-type]  # every kind is a dataclass
        value = getattr(update, place.name)
        parts = value if isinstance(value, tuple) else (value,)
        total += sum(part.nbytes for part in parts if isinstance(part, Tensor))
        total += size_in_bytes(value) if place.name == "inner" else 0
    return total


def _ready(weight: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().to(weight.device, torch.float32) for tensor in tensors)


def _factored(weight: Tensor, a: Tensor, b: Tensor, core: Tensor | None = None) -> Tensor:
    """Return A B, or with a core the sum over its two ranks: (out, in) or (out, in, kh, kw)."""
    a, b = _ready(weight, a, b)
    if core is None:
        return a @ b
    return torch.einsum("abkl,ao,bi->oikl", _ready(weight, core)[0], a, b)


def _whole(weight: Tensor, part: tuple[Tensor, ...]) -> Tensor:
    return _ready(weight, part[0])[0] if len(part) == 1 else _factored(weight, *part)


def _shape_of(part: tuple[Tensor, ...]) -> tuple[int, ...]:
    if len(part) == 1:
        return tuple(part[0].shape)
    if len(part) == 2:
        return (part[0].shape[0], part[1].shape[1])
    return (part[0].shape[1], part[1].shape[1], *part[2].shape[2:])
