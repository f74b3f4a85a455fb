"""What a run writes down while it goes: events, curves, validation, checkpoints, state; and its way back."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from charaforge.logs import get_logger
from charaforge.training.checkpoint import RunState, StateFolder, told_when_full
from charaforge.training.curves import Curves, open_curves
from charaforge.training.export import Exporter
from charaforge.training.guard import Measured, Readings, first_bad, stopped, what_happened
from charaforge.training.journal import Journal
from charaforge.training.rates import rate_factor
from charaforge.training.setup import Setup

logger = get_logger(__name__)


class Keeper:
    """Keeps the books of one run; in a process that does not lead it only measures.

    Args:
        setup: the parts of the run.
        folder: where its state goes.
        journal: where its events go.
        exporter: writes LoRA files.

    Attributes:
        held_out_note: the last validation loss, for showing.
    """

    def __init__(self, setup: Setup, folder: StateFolder, journal: Journal, exporter: Exporter) -> None:
        self._setup = setup
        self._folder = folder
        self._journal = journal
        self._exporter = exporter
        self._leads = setup.processes.leads
        self._readings = Readings()
        self._curves: list[Curves] | None = None
        self._begun, self._seen = time.monotonic(), 0
        self.held_out_note = ""

    def note(self, step: int, measured: Tensor) -> None:
        """Take loss and gradient length of the step that was just done, (2,), without reading them."""
        self._readings.add(step, measured)

    def settle(self, state: RunState) -> RunState:
        """Read what was noted, write it down, and go back where a step spoiled the run.

        Returns:
            `state` itself, or the last saved state, which adapter and optimiser then have; the step that
            spoiled the run is on its list of skipped ones, on the disk too.

        Raises:
            CharaForgeError: that happened too often.
        """
        measured = self._readings.read(self._setup.processes)
        bad = first_bad(measured, state, self._setup.config.loss_spike_factor)
        self._seen += len(measured)
        self._write([one for one in measured if bad is None or one.step < bad.step])
        return state if bad is None else self._go_back(bad, state)

    def look(self, state: RunState) -> None:
        """Measure the loss on held-out pictures with the weights that a file would get; keep good ones.

        Good is the lowest loss of any step so far, and what lies above it by no more than the tolerance: a
        character's small traits are still being learnt when the loss as a whole no longer falls.
        """
        with self._setup.adapter.averaged():
            loss = self._setup.validation.loss(self._setup.unet, self._setup.words)
        if loss is None:
            return
        self.held_out_note = f", held-out {loss:.4f}"
        good = state.step > 0 and state.judge(loss, self._setup.config.early_stop_tolerance)
        if self._leads:
            self._journal.write("validation", state.step, loss=loss, best=good)
            self._draw(state.step, {"loss/held_out": loss})
            if good:
                self._folder.save_best(self._setup.adapter)

    def checkpoint(self, state: RunState) -> None:
        """Write a LoRA file that can be used; of older ones, only the newest `keep_last` stay."""
        if self._leads:
            with told_when_full(f"the checkpoint of step {state.step}", self._setup.config.output_dir):
                self._exporter.checkpoint(self._setup.adapter, state.step)
            kept = self._setup.config.keep_last
            files = sorted((self._setup.config.output_dir / "checkpoints").glob("*.safetensors"))
            for old in files[:-kept] if kept else ():
                old.unlink()

    def save(self, state: RunState) -> None:
        """Write the state, so that the run can go on from here."""
        if self._leads:
            self._folder.save(state, self._setup.adapter, self._setup.optimizer)
        self._setup.processes.wait()

    def note_for_showing(self, state: RunState) -> str:
        """Return what a progress bar shows beside the steps."""
        loss = "" if state.mean_loss is None else f"loss {state.mean_loss:.4f}{self.held_out_note}"
        return ", ".join(part for part in (f"{self._pace():.3g} img/s", loss, _memory()) if part)

    def close(self) -> None:
        """Write down what curves have not written yet."""
        for curves in self._curves or ():
            curves.close()
        self._curves = None

    def _pace(self) -> float:
        pictures = self._seen * self._setup.config.pictures_per_step * self._setup.processes.count
        return pictures / max(time.monotonic() - self._begun, 1e-9)

    def _write(self, measured: Sequence[Measured]) -> None:
        if not self._leads or not measured:
            return
        config = self._setup.config
        rates = [config.learning_rate * rate_factor(config, one.step - 1) for one in measured]
        self._journal.write_all(
            [
                {"event": "step", "step": one.step, "loss": one.loss, "learning_rate": rate}
                for one, rate in zip(measured, rates, strict=True)
            ]
        )
        for one, rate in zip(measured, rates, strict=True):
            self._draw(one.step, {"loss/train": one.loss, "learning_rate": rate, "gradient": one.gradient})

    def _draw(self, step: int, values: dict[str, float]) -> None:
        if self._curves is None:
            self._curves = open_curves(self._setup.config, max(step - 1, 0))
        for curves in self._curves:
            curves.add(step, values)

    def _go_back(self, bad: Measured, state: RunState) -> RunState:
        setup = self._setup
        again = self._folder.restore(setup.adapter, setup.optimizer)
        again.rollbacks = state.rollbacks + 1
        again.skipped = sorted({*state.skipped, bad.step - 1})
        if self._leads:
            self.close()
            self._folder.amend(again)
            self._journal.forget_after(again.step)
            self._journal.write("rollback", again.step, bad_step=bad.step, why=what_happened(bad, state))
        setup.processes.wait()
        if again.rollbacks >= setup.config.max_rollbacks:
            raise stopped(bad, again, setup.config)
        logger.warning(
            "%s; going back to step %d, its batch is left out", what_happened(bad, state), again.step
        )
        return again


def _memory() -> str:
    if not torch.cuda.is_available():
        return ""
    return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB VRAM at most"
