"""The noise that pictures begin as: a CPU generator per picture, the same on every machine, in any batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from charaforge.requests.generation import GenerationRequest

Shape = tuple[int, ...]


def generators(requests: Sequence[GenerationRequest]) -> list[torch.Generator]:
    """Return a generator per picture, at the beginning of its seed."""
    return [torch.Generator("cpu").manual_seed(request.seed) for request in requests]


def first_noise(
    requests: Sequence[GenerationRequest], draws: Sequence[torch.Generator], shape: Shape
) -> Tensor:
    """Return unit Gaussian noise (B, *shape), float32, on the CPU.

    Args:
        requests: one per picture; its variation mixes in the noise of a second seed.
        draws: one per picture; what a sampler draws later follows on the noise drawn here.
        shape: of one picture's latents.
    """
    return torch.stack([_noise(request, draw, shape) for request, draw in zip(requests, draws, strict=True)])


def _noise(request: GenerationRequest, draw: torch.Generator, shape: Shape) -> Tensor:
    noise = torch.randn(shape, generator=draw, dtype=torch.float32)
    varied = request.variation
    if varied is None or varied.strength == 0.0:
        return noise
    if varied.seed < 0:
        raise ValueError("draw the variation's seed first, with seeded()")
    second = torch.Generator("cpu").manual_seed(varied.seed)
    return slerp(noise, torch.randn(shape, generator=second, dtype=torch.float32), varied.strength)


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Return the point at `share` (0 to 1) of the great circle from `start` to `end`; lengths go along.

    Shoemake 1985: sin((1 - s) w) / sin(w) a + sin(s w) / sin(w) b, with w the angle between a and b.
    """
    cosine = (start.flatten() @ end.flatten() / (start.norm() * end.norm())).clamp(-1.0, 1.0)
    angle = torch.acos(cosine)
    if float(torch.sin(angle)) < 1e-4:
        return torch.lerp(start, end, share)
    begin, finish = torch.sin((1.0 - share) * angle), torch.sin(share * angle)
    return (begin * start + finish * end) / torch.sin(angle)
