"""What the recipes of denoisers have in common: time steps, the course of the learning rate, the loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from charaforge.mini.recipes.bf16 import MasterWeights
from charaforge.mini.recipes.trace import Trace

TIME_SHIFT = 1.7


class Timed(Protocol):
    """A batch whose samples stand at time steps."""

    @property
    def timesteps(self) -> Tensor:
        """int64 (B,), 0 ... 999."""
        ...


B = TypeVar("B", bound=Timed)
B_contra = TypeVar("B_contra", bound=Timed, contravariant=True)


class Training(Protocol[B_contra]):
    """Weights, their optimiser, and the loss that moves them."""

    step: int
    weights: MasterWeights
    optimizer: torch.optim.AdamW

    def losses(self, batch: B_contra) -> Tensor:
        """Return the loss per sample, (B,)."""
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """Warm-up, constant, then linear to zero.

    Attributes:
        peak: the constant learning rate.
        warm_up: steps until it is reached.
        decay_share: share of all steps, at the end, over which it falls.
    """

    peak: float
    warm_up: int
    decay_share: float

    def at(self, step: int, steps: int) -> float:
        """Learning rate of a 0-based step; ``steps``, the number in all, may grow between runs."""
        decay_from = steps * (1 - self.decay_share)
        decay = 1.0 if step < decay_from else max(0.0, (steps - step) / (steps - decay_from))
        return self.peak * min(1.0, (step + 1) / self.warm_up) * decay


@dataclass(frozen=True, slots=True)
class Course:
    """One training.

    Attributes:
        name: what the log calls it.
        steps: optimiser steps in all, those of earlier runs included.
        batch: samples per step.
        rate: learning rates.
        save_every_s: seconds between checkpoints.
    """

    name: str
    steps: int
    batch: int
    rate: Rate
    save_every_s: float

    def follow(
        self, training: Training[B], batch_of: Callable[[int], B], save: Callable[[], object]
    ) -> float:
        """Train to the end, from where ``training`` is, saving as it goes and whatever ends it.

        Args:
            training: what is trained.
            batch_of: the batch of a 0-based step.
            save: writes the checkpoint.

        Returns:
            The loss as last logged.
        """
        trace, saved = Trace(self.name, training.step, self.steps, self.batch), time.monotonic()
        try:
            while training.step < self.steps:
                batch = batch_of(training.step)
                losses = take_step(training, batch, self.rate.at(training.step, self.steps))
                trace.add(training.step, batch.timesteps, losses)
                if time.monotonic() - saved > self.save_every_s:
                    save()
                    saved = time.monotonic()
        finally:
            save()
        return trace.last


def take_step(training: Training[B], batch: B, rate: float) -> Tensor:
    """Make one optimiser step and count it; return the loss per sample, (B,).

    A group of parameters with a "share" takes that share of the rate.
    """
    for group in training.optimizer.param_groups:
        group["lr"] = rate * group.get("share", 1.0)
    losses = training.losses(batch)
    losses.mean().backward()
    training.weights.gather_gradients(max_norm=1.0)
    training.optimizer.step()
    training.step += 1
    training.weights.publish(training.step)
    return losses.detach()


def shifted_timesteps(batch: int, generator: torch.Generator, shift: float = TIME_SHIFT) -> Tensor:
    """One time step per stratum of [0, 1), shifted: t = s u / (1 + (s - 1) u); int64 (B,) in 0..999."""
    u = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    return (1000 * shift * u / (1 + (shift - 1) * u)).long().clamp(0, 999)
