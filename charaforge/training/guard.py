"""Looks at the losses of the steps just done, and finds the one that spoiled the run, if any did.

Losses stay on the device until several are read at once, because reading one makes the device wait. What went
wrong is therefore found after the weights moved; the run then goes back to its last saved state, and the
batch that did it is left out for good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from charaforge.errors import CharaForgeError
from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.processes import Processes

_SETTLED = 20
"""Steps after which the running mean of the loss can be trusted."""


@dataclass(frozen=True)
class Measured:
    """What is known of a step.

    Attributes:
        step: its number, 1 for the first.
        loss: mean over the pictures of all processes.
        gradient: length of the gradient before it was cut.
    """

    step: int
    loss: float
    gradient: float

    @property
    def finite(self) -> bool:
        """Whether both are numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient)


class Readings:
    """Losses and gradient lengths that are still on the device."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._values: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: int, measured: Tensor) -> None:
        """Take the (2,) values of a step: loss and length of the gradient."""
        self._steps.append(step)
        self._values.append(measured)

    def read(self, processes: Processes) -> list[Measured]:
        """Return all of them, averaged over the processes, and forget them."""
        if not self._steps:
            return []
        values = torch.stack(self._values)
        processes.average([values])
        found = [Measured(step, *pair) for step, pair in zip(self._steps, values.cpu().tolist(), strict=True)]
        self._steps, self._values = [], []
        return found


def first_bad(measured: Sequence[Measured], state: RunState, factor: float) -> Measured | None:
    """Return the first step that spoiled the run; let the losses before it enter the running mean.

    Args:
        measured: steps just done, in order.
        state: its running mean is what a loss is compared with.
        factor: a loss above this many times the mean is a spike; 0 finds only what is not finite.
    """
    for one in measured:
        mean = state.mean_loss
        settled = one.step - len(state.skipped) > _SETTLED
        spike = factor > 0 and settled and mean is not None and one.loss > factor * mean
        if spike or not one.finite:
            return one
        state.take_note(one.loss)
    return None


def what_happened(bad: Measured, state: RunState) -> str:
    """Return what is wrong with a step, in words."""
    if not math.isfinite(bad.loss):
        return f"the loss of step {bad.step} is not finite"
    if not math.isfinite(bad.gradient):
        return f"the gradient of step {bad.step} is not finite"
    return f"the loss of step {bad.step} jumped to {bad.loss:.4g}, from {state.mean_loss:.4g} on average"


def stopped(bad: Measured, state: RunState, config: TrainingConfig) -> CharaForgeError:
    """Return the error that ends a run which was spoiled too often.

    The pictures cannot be the reason: latents are checked when they are encoded.

    Args:
        bad: the last step that spoiled it.
        state: how far it is.
        config: the run.
    """
    precision = ", or set mixed_precision: no" if config.mixed_precision != "no" else ""
    return CharaForgeError(
        f"{what_happened(bad, state)}. The run had to go back {state.rollbacks} times; no picture is at "
        "fault, the weights run away",
        f"lower learning_rate (it is {config.learning_rate:g}) or max_grad_norm "
        f"(it is {config.max_grad_norm:g}){precision}; then start again with --fresh",
    )
