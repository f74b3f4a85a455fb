"""The loss: mean squared error of what the UNet predicts about noisy latents.

Per picture: mean over latents of (prediction - target)², where the target is noise or velocity as the model's
schedule says (Ho et al. 2020; Salimans & Ho 2022). See `charaforge.diffusion.noise`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from charaforge.diffusion.noise import NoiseSchedule


def losses(
    unet: nn.Module, schedule: NoiseSchedule, clean: Tensor, noise: Tensor, timesteps: Tensor, context: Tensor
) -> Tensor:
    """Return the loss of each picture.

    Args:
        unet: called as `unet(noisy, timesteps, context).sample`, in its own dtype.
        schedule: the schedule that it was trained on.
        clean: (B, C, H, W) float32 scaled latents.
        noise: same shape, unit Gaussian.
        timesteps: (B,) int64.
        context: (B, 77, D) text-encoder output.

    Returns:
        (B,) float32.
    """
    dtype = next(unet.parameters()).dtype
    noisy = schedule.add_noise(clean, noise, timesteps)
    predicted = unet(noisy.to(dtype), timesteps, context.to(dtype)).sample
    return torch.square(predicted.float() - schedule.target(clean, noise, timesteps)).mean(dim=(1, 2, 3))
