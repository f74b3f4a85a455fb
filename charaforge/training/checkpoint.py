"""The state of a run on the disk: everything a stopped run needs to go on as if it had not stopped.

    state/step00000600.safetensors   adapter weights, the optimiser's tensors
    state/best.safetensors           adapter weights at the last good validation
    state/state.json                 the step, the optimiser's numbers, the names above, what the run is:
                                     written last, so that a full disk or a kill leaves the state before

Chance needs no state (see `randomness`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from charaforge.errors import CharaForgeError, UsageError
from charaforge.training.network import Adapter
from charaforge.training.optimizer_state import describe_state, restore_state
from charaforge.training.precision import LossScale
from charaforge.warehouse.atomic import replacing, write_json

_JSON = "state.json"
_BEST = "best.safetensors"
_OPTIMIZER = "optimizer."
_SMOOTHING = 0.98


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        step: steps that are done.
        best_loss: lowest validation loss so far; None before the first.
        best_step: the last step whose validation loss was good, see `judge`.
        stale: validations since then.
        mean_loss: running mean of the training loss; None before the first step.
        skipped: steps whose batch is left out, because it had spoiled the run.
        rollbacks: how often the run went back to a good state.
        loss_scale: of fp16 runs.
        ended: why the run is over: "steps", "early stop", or "" while it is not.
    """

    step: int = 0
    best_loss: float | None = None
    best_step: int = 0
    stale: int = 0
    mean_loss: float | None = None
    skipped: list[int] = field(default_factory=list)
    rollbacks: int = 0
    loss_scale: LossScale | None = None
    ended: str = ""

    def take_note(self, loss: float) -> None:
        """Let the training loss of a step enter the running mean."""
        mean = loss if self.mean_loss is None else self.mean_loss
        self.mean_loss = _SMOOTHING * mean + (1 - _SMOOTHING) * loss

    def judge(self, loss: float, tolerance: float) -> bool:
        """Take note of the validation loss of the present step; return whether it is good.

        Args:
            loss: of this step.
            tolerance: the share that a good loss may lie above the lowest one.
        """
        self.best_loss = loss if self.best_loss is None else min(loss, self.best_loss)
        good = loss <= self.best_loss * (1 + tolerance)
        self.best_step, self.stale = (self.step, 0) if good else (self.best_step, self.stale + 1)
        return good


class StateFolder:
    """Reads and writes the state of one run.

    Args:
        folder: its `state/` folder.
        identity: everything that decides what the run computes, as JSON values by key; a state of another
            identity is never gone on with.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._identity = dict(json.loads(json.dumps(identity)))

    def save(self, state: RunState, adapter: Adapter, optimizer: torch.optim.Optimizer) -> None:
        """Write the state; a reader finds the old one or the new one, whole.

        Raises:
            CharaForgeError: it cannot be written, for example because the disk is full; the old one stays.
        """
        file = self._folder / f"step{state.step:08d}.safetensors"
        tensors, numbers = describe_state(optimizer)
        with told_when_full(f"the state of step {state.step}", self._folder):
            _save(file, adapter.state() | {_OPTIMIZER + name: value for name, value in tensors.items()})
            self._write(state, file.name, numbers)
        for old in self._folder.glob("step*.safetensors"):
            if old != file:
                old.unlink()

    def amend(self, state: RunState) -> None:
        """Write down what changed beside the tensors, such as the skipped steps."""
        stored = self._read()
        assert stored is not None
        self._write(state, stored["tensors"], stored["optimizer"])

    def restore(self, adapter: Adapter, optimizer: torch.optim.Optimizer) -> RunState:
        """Load the state into adapter and optimiser; a fresh state where there is none.

        Raises:
            UsageError: the folder belongs to a run with other settings, pictures or base.
            CharaForgeError: the state is damaged.
        """
        stored = self._read()
        if stored is None:
            return RunState()
        self._check(stored["identity"])
        try:
            tensors = load_file(self._folder / stored["tensors"])
        except (OSError, SafetensorError) as error:
            raise CharaForgeError(
                f"the state in {self._folder} is damaged: {error}", _start_again(self._folder)
            ) from error
        prefixed = [name for name in tensors if name.startswith(_OPTIMIZER)]
        of_optimizer = {name.removeprefix(_OPTIMIZER): tensors.pop(name) for name in prefixed}
        restore_state(optimizer, of_optimizer, stored["optimizer"])
        adapter.load_state(tensors)
        values = dict(stored["state"])
        scale = values.pop("loss_scale")
        return RunState(**values, loss_scale=LossScale(**scale) if scale else None)

    def peek(self) -> RunState | None:
        """Return how far the run is, without its tensors; None where there is no state of this identity."""
        stored = self._read()
        if stored is None or stored["identity"] != self._identity:
            return None
        return RunState(**{**stored["state"], "loss_scale": None})

    def save_best(self, adapter: Adapter) -> None:
        """Keep the adapter's present weights as the best ones; raises as `save` does."""
        with told_when_full("the best weights", self._folder):
            _save(self._folder / _BEST, adapter.state())

    def load_best(self) -> dict[str, Tensor]:
        """Return the weights that `save_best` kept."""
        return load_file(self._folder / _BEST)

    def _write(self, state: RunState, tensors: str, optimizer: Mapping[str, Any]) -> None:
        told = {"tensors": tensors, "state": asdict(state), "identity": self._identity}
        write_json(self._folder / _JSON, told | {"optimizer": optimizer})

    def _read(self) -> dict[str, Any] | None:
        file = self._folder / _JSON
        if not file.is_file():
            return None
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise CharaForgeError(f"{file} is damaged: {error}", _start_again(self._folder)) from error

    def _check(self, stored: Mapping[str, Any]) -> None:
        keys = [k for k in {**stored, **self._identity} if stored.get(k) != self._identity.get(k)]
        if keys:
            told = "; ".join(f"{k} was {stored.get(k)!r}, is {self._identity.get(k)!r}" for k in keys)
            raise UsageError(
                f"{self._folder.parent} holds a run with other settings: {told}",
                "choose another output_dir, go back to the old settings, or start again with --fresh",
            )


@contextmanager
def told_when_full(what: str, folder: Path) -> Iterator[None]:
    """Turn a failure to write into a message that says what to do.

    Args:
        what: what is being written, for the message.
        folder: where.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise CharaForgeError(
            f"{what} cannot be written to {folder}: {reason}",
            "make room or give write permission; the last saved state is intact, the same command goes on "
            "from it",
        ) from error


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with replacing(path) as temporary:
        save_file(dict(tensors), temporary)


def _start_again(folder: Path) -> str:
    return f"start the run again with --fresh, which sets {folder} aside"
