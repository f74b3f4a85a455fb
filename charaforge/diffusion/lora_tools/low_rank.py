"""Matrices of low rank: the best one near a change of a weight, and how much of it is lost.

The truncated singular value decomposition is the nearest matrix of its rank in the Frobenius norm (Eckart
and Young 1936). A product B A is decomposed through the R of two QR decompositions, whose sides are its rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from charaforge.diffusion.lora_updates import LoraLayer


@dataclass(frozen=True)
class RankChoice:
    """Which rank a change gets; several limits: the lowest rank that one of them asks for.

    Attributes:
        rank: at most this.
        ratio: keep singular values of at least largest / ratio; None: no such limit.
        energy: the lowest rank whose Frobenius norm is this share of the whole; None: no such limit.
    """

    rank: int
    ratio: float | None = None
    energy: float | None = None

    def of(self, values: Tensor) -> int:
        """Return the rank for singular values, the largest first; 1 at least."""
        chosen = [self.rank, len(values)]
        if self.ratio is not None:
            chosen.append(int((values >= values[0] / self.ratio).sum()))
        if self.energy is not None:
            shares = values.square().cumsum(0) / values.square().sum().clamp(min=1e-38)
            chosen.append(int((shares < self.energy**2).sum()) + 1)
        return max(1, min(chosen))


@dataclass(frozen=True)
class Compressed:
    """A change at a lower rank.

    Attributes:
        layer: alpha is its rank.
        lost: Frobenius norm of what is lost, squared.
        whole: Frobenius norm of the change, squared.
    """

    layer: LoraLayer
    lost: float
    whole: float


def compress(left: Tensor, right: Tensor, shape: tuple[int, ...], choice: RankChoice) -> Compressed:
    """Return the best approximation of left @ right.

    Args:
        left: (out, r).
        right: (r, in kh kw).
        shape: of the weight: (out, in) or (out, in, kh, kw).
        choice: of its rank.
    """
    q1, r1 = torch.linalg.qr(left.double())
    q2, r2 = torch.linalg.qr(right.double().T)
    u, s, v = torch.linalg.svd(r1 @ r2.T)
    return _cut(q1 @ u, s, v @ q2.T, shape, choice)


def compress_whole(change: Tensor, choice: RankChoice) -> Compressed:
    """Return the best approximation of a whole change, (out, in) or (out, in, kh, kw)."""
    u, s, v = torch.linalg.svd(change.flatten(1).double(), full_matrices=False)
    return _cut(u, s, v, tuple(change.shape), choice)


def _cut(u: Tensor, s: Tensor, v: Tensor, shape: tuple[int, ...], choice: RankChoice) -> Compressed:
    rank = choice.of(s)
    root = s[:rank].sqrt()
    up = (u[:, :rank] * root).float()
    down = (root[:, None] * v[:rank]).float()
    kernel = shape[2:]
    layer = LoraLayer(
        down.reshape(rank, shape[1], *kernel).contiguous(),
        up.reshape(shape[0], rank, *[1] * len(kernel)).contiguous(),
        float(rank),
    )
    squares = s.square()
    return Compressed(layer, float(squares[rank:].sum()), float(squares.sum()))
