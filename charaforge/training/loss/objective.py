"""The loss: how far what the UNet predicts about noisy latents lies from what it should.

For each picture: the mean over its latents of d(prediction, target), times the weight of its timestep. The
target is noise or velocity, as the model's schedule says.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.errors import UsageError
from charaforge.training.conditions import Condition
from charaforge.training.config import TrainingConfig
from charaforge.training.loss.distances import distance, thresholds
from charaforge.training.loss.masks import masked_mean
from charaforge.training.loss.noises import disturbed, training_noise
from charaforge.training.loss.weights import debiased, like_noise, min_snr

Place = tuple[int, int]
"""A step, and a position in its batch."""


class Objective:
    """What a run minimises.

    Args:
        config: the keys of the loss, and the seed.
        schedule: of the base.

    Raises:
        UsageError: the configuration asks for what the base's kind of prediction does not have.
    """

    def __init__(self, config: TrainingConfig, schedule: NoiseSchedule) -> None:
        if config.scale_v_pred_loss_like_noise_pred and schedule.prediction == "epsilon":
            raise UsageError(
                "scale_v_pred_loss_like_noise_pred is for bases of v-prediction; this one predicts noise",
                "leave the key out",
            )
        self._config = config
        self._schedule = schedule
        self._weights = timestep_weights(config, schedule)
        self._thresholds = thresholds(config.huber_schedule, config.huber_c, schedule.alphas_cumprod)

    def losses(
        self,
        unet: nn.Module,
        clean: Tensor,
        timesteps: Tensor,
        condition: Condition,
        places: Sequence[Place],
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each picture.

        Args:
            unet: with the adapter in it.
            clean: (B, C, H, W) float32 scaled latents.
            timesteps: (B,) int64, on the CPU.
            condition: what the UNet is told.
            places: where the pictures stand, which decides their noise.
            mask: (B, 1, H, W), see `masked_mean`.

        Returns:
            (B,) float32.
        """
        config, seed = self._config, self._config.seed
        pairs = list(zip(clean, places, strict=True))
        noises = [training_noise(config, one, seed=seed, place=place) for one, place in pairs]
        shown = [disturbed(config, n, seed=seed, place=p) for n, p in zip(noises, places, strict=True)]
        noise = torch.stack(noises).to(clean, non_blocking=True)
        also = torch.stack(shown).to(clean, non_blocking=True) if config.ip_noise_gamma else noise
        noisy = self._schedule.add_noise(clean, also, timesteps)
        found = predicted(unet, noisy, timesteps, condition)
        target = self._schedule.target(clean, noise, timesteps)
        distances = distance(config.loss_type, found, target, self._thresholds[timesteps])
        means = masked_mean(
            distances,
            mask,
            unmasked_weight=config.unmasked_weight,
            normalize=config.normalize_masked_area,
        )
        return means * self._weights[timesteps].to(means)


def timestep_weights(config: TrainingConfig, schedule: NoiseSchedule) -> Tensor:
    """Return the weight of every timestep that the configuration asks for: (T,) float64."""
    alphas = schedule.alphas_cumprod
    snr = alphas / (1.0 - alphas)
    if config.min_snr_gamma is not None:
        return min_snr(snr, config.min_snr_gamma, schedule.prediction)
    if config.debiased_estimation_loss:
        return debiased(snr, schedule.prediction)
    if config.scale_v_pred_loss_like_noise_pred:
        return like_noise(snr)
    return torch.ones_like(snr)


def plain_losses(
    unet: nn.Module,
    schedule: NoiseSchedule,
    clean: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    condition: Condition,
) -> Tensor:
    """Return the mean squared error of each picture, (B,) float32, whatever a run minimises.

    Args:
        unet: with the adapter in it.
        schedule: of the base.
        clean: (B, C, H, W) float32 scaled latents.
        noise: same shape, unit Gaussian.
        timesteps: (B,) int64.
        condition: what the UNet is told.
    """
    noisy = schedule.add_noise(clean, noise, timesteps)
    found = predicted(unet, noisy, timesteps, condition)
    return torch.square(found - schedule.target(clean, noise, timesteps)).mean(dim=(1, 2, 3))


def predicted(unet: nn.Module, noisy: Tensor, timesteps: Tensor, condition: Condition) -> Tensor:
    """Return the UNet's output, (B, C, H, W) float32, computed in its own format."""
    dtype, device = _dtype(unet), noisy.device
    told = condition.arguments(device, dtype)
    output: Tensor = unet(noisy.to(dtype), timesteps.to(device, non_blocking=True), **told).sample
    return output.float()


def _dtype(unet: nn.Module) -> torch.dtype:
    """Return the format in which a UNet computes: that of its first convolution, which is never packed."""
    dtype: torch.dtype = next(unet.parameters()).dtype
    return dtype
