"""Weights of the loss by the signal-to-noise ratio (SNR) of a timestep.

An error of the predicted picture x weighs SNR times as much in the loss of the noise e, and SNR + 1 times in
that of the velocity v (Salimans & Ho 2022, section 4). A weighting that is published as w(SNR) on the loss of
x is therefore w / SNR on that of e and w / (SNR + 1) on that of v:

    min-SNR     w = min(SNR, gamma)      Hang et al. 2023, "Efficient Diffusion Training via Min-SNR", eq. 8
    debiased    w = sqrt(SNR)            Yu et al. 2023, "Debias the Training of Diffusion Models", eq. 10:
                                         1 / sqrt(SNR) on the loss of e
    like noise  w = SNR                  gives a v-prediction model the loss of e

All are finite for every SNR from 0 on, whatever is predicted. The SNR must be that of the schedule the model
was trained on, behind any rescaling to zero terminal SNR.
"""

from __future__ import annotations

import torch
from torch import Tensor

from charaforge.diffusion.noise import Prediction

LEAST_SNR = 1e-3
"""Where debiased weights of the loss of e stop rising: 32; Stable Diffusion's own last timestep has 15."""


def min_snr(snr: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """Return min(SNR, gamma) / SNR, or / (SNR + 1).

    Args:
        snr: of the timesteps, >= 0.
        gamma: > 0.
        prediction: what the model predicts.

    Returns:
        A weight for each: 0 to 1.
    """
    if prediction == "epsilon":
        return (gamma / snr).clamp(max=1.0)
    return snr.clamp(max=gamma) / (snr + 1.0)


def debiased(snr: Tensor, prediction: Prediction) -> Tensor:
    """Return 1 / sqrt(SNR), or sqrt(SNR) / (SNR + 1); arguments as above."""
    if prediction == "epsilon":
        return torch.rsqrt(snr.clamp(min=LEAST_SNR))
    return snr.sqrt() / (snr + 1.0)


def like_noise(snr: Tensor) -> Tensor:
    """Return SNR / (SNR + 1), with which the loss of v is that of e; 0 where there is only noise."""
    return snr / (snr + 1.0)
