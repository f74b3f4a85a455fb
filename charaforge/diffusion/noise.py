"""The noise schedule of a model, and what it makes of clean latents, noise and predictions.

Everything is computed from the schedule that the model was really trained on, after the rescaling to zero
terminal SNR where its config asks for it (Lin et al. 2023, "Common diffusion noise schedules and sample steps
are flawed"). With a_t the cumulative product of the alphas, x the clean latents and e unit Gaussian noise:

    x_t  = sqrt(a_t) x + sqrt(1 - a_t) e          noisy latents (Ho et al. 2020, eq. 4)
    v_t  = sqrt(a_t) e - sqrt(1 - a_t) x          velocity (Salimans & Ho 2022, section 4 and appendix D)
    SNR  = a_t / (1 - a_t)                        signal-to-noise ratio (Kingma et al. 2021, eq. 2)

The tables are made in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from charaforge.diffusion.betas import cumulative_alphas
from charaforge.errors import ModelFileError

Prediction = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class NoiseSchedule:
    """What a diffusion model predicts, and under how much noise.

    Attributes:
        alphas_cumprod: (T,) float64, falling from nearly 1; the last is 0 for zero-terminal-SNR models.
        prediction: what the UNet's output means.
    """

    alphas_cumprod: Tensor
    prediction: Prediction

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build the schedule from a diffusers scheduler config.

        Raises:
            ModelFileError: the prediction type or the shape of the betas is not known, or it is epsilon under
                zero terminal SNR, where a prediction of the noise says nothing about the picture.
        """
        prediction = config.get("prediction_type", "epsilon")
        if prediction not in ("epsilon", "v_prediction"):
            raise ModelFileError(
                f"the scheduler config says prediction_type {prediction!r}", "use epsilon or v_prediction"
            )
        alphas = cumulative_alphas(config)
        if prediction == "epsilon" and float(alphas[-1]) == 0.0:
            raise ModelFileError(
                "the scheduler config joins prediction_type epsilon with rescale_betas_zero_snr",
                "such a model needs prediction_type v_prediction",
            )
        return cls(alphas, prediction)

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether the last timestep is pure noise."""
        return float(self.alphas_cumprod[-1]) == 0.0

    def snr(self, timesteps: Tensor) -> Tensor:
        """Return the signal-to-noise ratio at each timestep: (B,) int64 -> (B,) float32, 0 to about 1200."""
        return _at(self.alphas_cumprod / (1.0 - self.alphas_cumprod), timesteps).float()

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noisy latents x_t.

        Args:
            clean: (B, C, H, W) scaled latents x.
            noise: same shape, unit Gaussian e.
            timesteps: (B,) int64 in 0 ... T-1.
        """
        signal, sigma = self._scales(clean, timesteps)
        return signal * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the UNet shall predict for `add_noise(clean, noise, timesteps)`."""
        if self.prediction == "epsilon":
            return noise
        signal, sigma = self._scales(clean, timesteps)
        return signal * noise - sigma * clean

    def clean_of(self, output: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """Return the clean latents x that a UNet output stands for."""
        signal, sigma = self._scales(noisy, timesteps)
        if self.prediction == "epsilon":
            return (noisy - sigma * output) / signal
        return signal * noisy - sigma * output

    def noise_of(self, output: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise e that a UNet output stands for."""
        if self.prediction == "epsilon":
            return output
        signal, sigma = self._scales(noisy, timesteps)
        return signal * output + sigma * noisy

    def _scales(self, like: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(a_t) and sqrt(1 - a_t), each (B, 1, 1, 1) in the type and place of `like`."""
        alphas = _at(self.alphas_cumprod, timesteps).view(-1, 1, 1, 1)
        return alphas.sqrt().to(like), (1.0 - alphas).sqrt().to(like)


def _at(table: Tensor, timesteps: Tensor) -> Tensor:
    """Look timesteps up where the table is, on the CPU; training hands them over there already."""
    return table[timesteps.to(table.device, torch.int64)]
