"""The loss on held-out pictures, always with the same noise and timesteps: only the weights differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.training import randomness
from charaforge.training.dataset import Sample
from charaforge.training.loss import plain_losses
from charaforge.training.words import Words

TIMESTEPS = 8
"""Timesteps per picture, evenly spread: the middles of equal strata."""


class Validation:
    """Measures the loss on pictures that are not trained on.

    Args:
        samples: the held-out pictures; none makes `loss` return None.
        latents: theirs, in the same order.
        schedule: of the base.
        seed: of the noise.
    """

    def __init__(
        self, samples: Sequence[Sample], latents: Sequence[Tensor], schedule: NoiseSchedule, seed: int
    ) -> None:
        self._pairs = list(zip(samples, latents, strict=True))
        self._schedule = schedule
        self._seed = seed
        total = len(schedule)
        self._timesteps = torch.tensor([int((k + 0.5) / TIMESTEPS * total) for k in range(TIMESTEPS)])

    @torch.no_grad()
    def loss(self, unet: nn.Module, words: Words) -> float | None:
        """Return the mean loss over all pictures and timesteps."""
        if not self._pairs:
            return None
        found = [self._of_picture(unet, words, sample, latent) for sample, latent in self._pairs]
        return float(torch.cat(found).mean())

    def _of_picture(self, unet: nn.Module, words: Words, sample: Sample, latent: Tensor) -> Tensor:
        noise = torch.stack(
            [
                randomness.noise(tuple(latent.shape), self._seed, "validation", sample.sha256, k)
                for k in range(TIMESTEPS)
            ]
        ).to(latent)
        told = words.plain(sample).repeated(TIMESTEPS)
        return plain_losses(unet, self._schedule, latent.expand_as(noise), noise, self._timesteps, told)
