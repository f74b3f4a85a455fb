"""How far a prediction lies from its target, for each number of it.

    l2          d²
    huber       2 c (sqrt(d² + c²) - c)      about d² below c, about 2 c |d| above
    smooth_l1   2 (sqrt(d² + c²) - c)        about d² / c below c, about 2 |d| above

The latter two are pseudo-Huber losses (Charbonnier et al. 1997), with the threshold c on a schedule over the
timesteps as kohya's scripts have it: pictures with odd details pull less, most of all under much noise.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Kind = Literal["l2", "huber", "smooth_l1"]
Schedule = Literal["constant", "exponential", "snr"]


def distance(kind: Kind, found: Tensor, target: Tensor, threshold: Tensor | None = None) -> Tensor:
    """Return the distance of each number.

    Args:
        kind: see above.
        found: (B, C, H, W) float32.
        target: same shape.
        threshold: (B,) c for each picture, > 0; not needed for l2.

    Returns:
        (B, C, H, W).
    """
    squared = torch.square(found - target)
    if kind == "l2":
        return squared
    if threshold is None:
        raise ValueError(f"{kind} needs a threshold")
    c = threshold.to(found).view(-1, 1, 1, 1)
    # sqrt(d² + c²) - c, written so that nothing is lost where d is small
    root = squared / (torch.sqrt(squared + c * c) + c)
    return 2.0 * root * (c if kind == "huber" else 1.0)


def thresholds(schedule: Schedule, c: float, alphas_cumprod: Tensor) -> Tensor:
    """Return c of each timestep.

    Args:
        schedule: constant; exponential: from 1 down to `c`; snr: (1 - c) / (1 + sigma)² + c, where sigma is
            sqrt((1 - a) / a): from nearly 1 down to `c` in pure noise.
        c: > 0.
        alphas_cumprod: (T,) a_t, float64.

    Returns:
        (T,) float64.
    """
    if schedule == "constant":
        return torch.full_like(alphas_cumprod, c)
    if schedule == "exponential":
        total = len(alphas_cumprod)
        return c ** (torch.arange(total, dtype=alphas_cumprod.dtype) / total)
    signal, sigma = alphas_cumprod.sqrt(), (1.0 - alphas_cumprod).sqrt()
    return (1.0 - c) * (signal / (signal + sigma)).square() + c
