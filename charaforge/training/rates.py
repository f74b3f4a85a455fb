"""The learning rate of a step, as a share of its peak: a warm-up, then one of five curves.

With d the share of the run that is done after the warm-up, 0 to 1:

    constant                1
    linear                  1 - d
    cosine                  (1 + cos(pi d)) / 2                     (Loshchilov & Hutter 2017, "SGDR")
    cosine_with_restarts    the same over n equal parts of the run: (1 + cos(pi (n d mod 1))) / 2
    rex                     (1 - d) / (1 - d / 2)                   (Chen et al. 2022, "REX")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch

from charaforge.training.config import TrainingConfig

Curve = Callable[[float, int], float]

CURVES: Mapping[str, Curve] = {
    "constant": lambda done, cycles: 1.0,
    "linear": lambda done, cycles: 1.0 - done,
    "cosine": lambda done, cycles: _half_cosine(done),
    "cosine_with_restarts": lambda done, cycles: _half_cosine((cycles * done) % 1.0 if done < 1.0 else 1.0),
    "rex": lambda done, cycles: (1.0 - done) / (1.0 - done / 2.0),
}


def rate_factor(config: TrainingConfig, step: int) -> float:
    """Return the share of the peak learning rate in a step.

    Args:
        config: lr_scheduler, lr_scheduler_cycles, the warm-up, max_train_steps.
        step: 0 for the first.
    """
    warm = config.warmup
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(config.max_train_steps - warm, 1)
    return CURVES[config.lr_scheduler](min(done, 1.0), config.lr_scheduler_cycles)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to this share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_rate"] * factor


def _half_cosine(done: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * done))
