"""The noise that a picture is trained under; all of it drawn from (seed, purpose, step, position).

Offset noise adds one number to each whole channel, so that the model learns to make pictures brighter and
darker (Guttenberg 2023, "Diffusion with Offset Noise"). Multi-resolution noise adds discount^i times noise of
1 / r_i of the size, enlarged, for i = 1, 2 …, and is brought back to unit variance (Whitaker 2023,
"Multi-Resolution Noise for Diffusion Model Training"). Input perturbation adds gamma times noise that the
target does not know of (Ning et al. 2023, "Input Perturbation Reduces Exposure Bias in Diffusion Models").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from charaforge.training import randomness
from charaforge.training.config.loss import LossSettings

_SMALLEST_RATIO, _RATIO_SPREAD = 2.0, 2.0


def training_noise(settings: LossSettings, clean: Tensor, *, seed: int, place: tuple[int, int]) -> Tensor:
    """Return the noise of one picture, which is also what an epsilon model shall predict.

    Args:
        settings: the keys of noise_offset and multires_noise.
        clean: (C, H, W) scaled latents; only adaptive offsets look into them.
        seed: of the run.
        place: step and position in its batch.

    Returns:
        (C, H, W) float32 on the CPU.
    """
    noise = randomness.noise(tuple(clean.shape), seed, "noise", *place)
    if settings.noise_offset:
        strength = _offset(settings, clean) * _share(
            settings.noise_offset_random_strength, seed, "noise offset strength", place
        )
        noise = noise + strength * randomness.noise((len(clean), 1, 1), seed, "noise offset", *place)
    if settings.multires_noise_iterations:
        noise = multires(noise, settings, seed=seed, place=place)
    return noise


def disturbed(settings: LossSettings, noise: Tensor, *, seed: int, place: tuple[int, int]) -> Tensor:
    """Return the noise that the model is shown for a target of `noise`; arguments as above."""
    if not settings.ip_noise_gamma:
        return noise
    gamma = settings.ip_noise_gamma * _share(
        settings.ip_noise_gamma_random_strength, seed, "input perturbation strength", place
    )
    return noise + gamma * randomness.noise(tuple(noise.shape), seed, "input perturbation", *place)


def multires(noise: Tensor, settings: LossSettings, *, seed: int, place: tuple[int, int]) -> Tensor:
    """Lay coarser and coarser noise over unit noise (C, H, W); return it with a standard deviation of 1."""
    total = noise
    height, width = noise.shape[-2:]
    for level in range(1, settings.multires_noise_iterations + 1):
        chance = randomness.rng(seed, "multires ratio", *place, level).random()
        ratio = (_SMALLEST_RATIO + _RATIO_SPREAD * chance) ** level
        size = max(1, int(height / ratio)), max(1, int(width / ratio))
        coarse = randomness.noise((1, len(noise), *size), seed, "multires noise", *place, level)
        large = interpolate(coarse, size=(height, width), mode="bilinear")[0]
        total = total + large * settings.multires_noise_discount**level
        if 1 in size:
            break
    return total / total.std()


def _offset(settings: LossSettings, clean: Tensor) -> Tensor | float:
    """Return the strength of offset noise, (C, 1, 1) where it follows the latents."""
    if not settings.adaptive_noise_scale:
        return settings.noise_offset
    means = clean.float().mean(dim=(1, 2), keepdim=True).abs().cpu()
    return torch.clamp(settings.noise_offset + settings.adaptive_noise_scale * means, min=0.0)


def _share(at_random: bool, seed: int, purpose: str, place: tuple[int, int]) -> float:
    return randomness.rng(seed, purpose, *place).random() if at_random else 1.0
