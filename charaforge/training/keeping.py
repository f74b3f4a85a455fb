"""What a run writes down while it goes: events, validation, checkpoints, its state."""

from __future__ import annotations

from charaforge.training.checkpoint import RunState, StateFolder
from charaforge.training.export import Exporter
from charaforge.training.journal import Journal
from charaforge.training.rates import rate_factor
from charaforge.training.setup import Setup

_SMOOTHING = 0.98


class Keeper:
    """Keeps the books of one run; in a process that does not lead it only measures.

    Args:
        setup: the parts of the run.
        folder: where its state goes.
        journal: where its events go.
        exporter: writes LoRA files.

    Attributes:
        smooth_loss: running mean of the training loss, for showing.
        held_out_note: the last validation loss, for showing.
    """

    def __init__(self, setup: Setup, folder: StateFolder, journal: Journal, exporter: Exporter) -> None:
        self._setup = setup
        self._folder = folder
        self._journal = journal
        self._exporter = exporter
        self._leads = setup.processes.leads
        self.smooth_loss = float("nan")
        self.held_out_note = ""

    def note(self, state: RunState, loss: float) -> None:
        """Write down the training loss of the step that was just done."""
        fresh = self.smooth_loss != self.smooth_loss
        self.smooth_loss = loss if fresh else _SMOOTHING * self.smooth_loss + (1 - _SMOOTHING) * loss
        if self._leads:
            rate = self._setup.config.learning_rate * rate_factor(self._setup.config, state.step - 1)
            self._journal.write("step", state.step, loss=loss, learning_rate=rate)

    def look(self, state: RunState) -> None:
        """Measure the loss on held-out pictures; keep the weights while it is good.

        Good is the lowest loss of any step so far, and what lies above it by no more than the tolerance: a
        character's small traits are still being learnt when the loss as a whole no longer falls.
        """
        loss = self._setup.validation.loss(self._setup.unet, self._setup.words)
        if loss is None:
            return
        self.held_out_note = f", held-out {loss:.4f}"
        good = state.step > 0 and state.judge(loss, self._setup.config.early_stop_tolerance)
        if self._leads:
            self._journal.write("validation", state.step, loss=loss, best=good)
            if good:
                self._folder.save_best(self._setup.adapter)

    def checkpoint(self, state: RunState) -> None:
        """Write a LoRA file that can be used."""
        if self._leads:
            self._exporter.checkpoint(self._setup.adapter, state.step)

    def save(self, state: RunState) -> None:
        """Write the state, so that the run can go on from here."""
        if self._leads:
            self._folder.save(state, self._setup.adapter, self._setup.optimizer)
        self._setup.processes.wait()
