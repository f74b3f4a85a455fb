"""Which timestep a picture is trained at.

A share u of 0 … 1 is drawn first, stratified over the batch: the sample at `position` of `batch` draws from
its own one of `batch` equal strata. Because the samples come shuffled, every sample sees every timestep
alike, and the loss of a small batch is far less noisy than with independent draws. Then u is bent:

    uniform        u
    logit_normal   sigmoid(mean + std · z), z the standard normal quantile of u (Esser et al. 2024, eq. 19)
    sigmoid        the same with mean 0 and std `sigmoid_scale`
    shift s        s u / (1 + (s - 1) u) of any of them (Esser et al. 2024, eq. 23): s > 1 is noisier

and the timestep is the min_timestep + u · (max_timestep - min_timestep), rounded down.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from charaforge.training import randomness
from charaforge.training.config.loss import LossSettings

_NORMAL = NormalDist()


def timestep(settings: LossSettings, total: int, *, seed: int, step: int, position: int, batch: int) -> int:
    """Return the timestep of one place in the batch of a step, 0 … total - 1.

    Args:
        settings: the keys named above.
        total: number of timesteps of the schedule.
        seed: of the run.
        step: 0 for the first.
        position: place in the batch over all processes.
        batch: its size.
    """
    u = (position + randomness.rng(seed, "timestep", step, position).random()) / batch
    first, end = settings.min_timestep, min(settings.max_timestep, total)
    return min(first + int(bent(settings, u) * (end - first)), end - 1)


def bent(settings: LossSettings, u: float) -> float:
    """Return the share of the schedule that a uniform share u becomes: 0 … 1, rising with u."""
    share = u
    if settings.timestep_sampling == "sigmoid":
        share = _logit_normal(u, 0.0, settings.sigmoid_scale)
    elif settings.timestep_sampling == "logit_normal":
        share = _logit_normal(u, settings.logit_mean, settings.logit_std)
    shift = settings.timestep_shift
    return shift * share / (1.0 + (shift - 1.0) * share)


def _logit_normal(u: float, mean: float, std: float) -> float:
    if not 0.0 < u < 1.0:
        return u
    return 1.0 / (1.0 + math.exp(-(mean + std * _NORMAL.inv_cdf(u))))
