"""The betas of a noise schedule: how much noise each timestep adds, in float64.

    linear          beta_t rises evenly (Ho et al. 2020)
    scaled_linear   sqrt(beta_t) rises evenly: Stable Diffusion (Rombach et al. 2022)
    cosine          a_t = cos²((t / T + 0.008) / 1.008 · π / 2) (Nichol & Dhariwal 2021)

`rescaled` brings the last timestep to pure noise: algorithm 1 of Lin et al. 2023, "Common diffusion noise
schedules and sample steps are flawed". Whoever reads a signal-to-noise ratio must read it behind that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from charaforge.errors import ModelFileError

_COSINE = "squaredcos_cap_v2"
SHAPES = ("linear", "scaled_linear", _COSINE)
_MAX_BETA = 0.999


def cumulative_alphas(config: Mapping[str, Any]) -> Tensor:
    """Return a_t, the products of all 1 - beta up to t: (T,) float64, the schedule that the model knows.

    Args:
        config: of a diffusers scheduler: num_train_timesteps, beta_start, beta_end, beta_schedule,
            trained_betas, rescale_betas_zero_snr; what is missing has the defaults of diffusers.

    Raises:
        ModelFileError: the shape of the betas is not known.
    """
    alphas = torch.cumprod(1.0 - betas(config), dim=0)
    return rescaled(alphas) if config.get("rescale_betas_zero_snr") else alphas


def betas(config: Mapping[str, Any]) -> Tensor:
    """Return the betas before any rescaling: (T,) float64; arguments as above."""
    if config.get("trained_betas") is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float64)
    total = int(config.get("num_train_timesteps", 1000))
    ends = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    shape = config.get("beta_schedule", "linear")
    if shape == "linear":
        return torch.linspace(ends[0], ends[1], total, dtype=torch.float64)
    if shape == "scaled_linear":
        return torch.linspace(ends[0] ** 0.5, ends[1] ** 0.5, total, dtype=torch.float64) ** 2
    if shape == _COSINE:
        levels = [math.cos((t / total + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(total + 1)]
        ratios = [after / before for before, after in pairwise(levels)]
        return torch.tensor([min(1.0 - ratio, _MAX_BETA) for ratio in ratios], dtype=torch.float64)
    raise ModelFileError(f"the scheduler config says beta_schedule {shape!r}", f"use {' or '.join(SHAPES)}")


def rescaled(alphas: Tensor) -> Tensor:
    """Return a_t with its root shifted to end at 0 and stretched to begin where it did.

    Args:
        alphas: (T,) float64, falling.
    """
    roots = alphas.sqrt()
    stretched = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return stretched.square()
