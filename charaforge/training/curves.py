"""The curves of a run in TensorBoard and Weights & Biases, where they are installed and wanted."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Protocol

from charaforge.errors import UsageError
from charaforge.training.config import TrainingConfig


class Curves(Protocol):
    """Takes numbers by name and step."""

    def add(self, step: int, values: dict[str, float]) -> None:
        """Draw the values of a step."""

    def close(self) -> None:
        """Write down what is not written yet."""


class _TensorBoard:
    """Event files in a folder; those of steps that are done again are hidden by TensorBoard itself."""

    def __init__(self, folder: Path, step: int) -> None:
        module: Any = importlib.import_module("torch.utils.tensorboard")
        self._writer = module.SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """A run of Weights & Biases; it goes on under the same id when the training does."""

    def __init__(self, config: TrainingConfig, folder: Path) -> None:
        wandb: Any = importlib.import_module("wandb")
        self._run = wandb.init(
            project=config.wandb_project,
            name=config.lora_id,
            id=config.lora_id,
            resume="allow",
            dir=str(folder),
            config=config.model_dump(mode="json"),
        )

    def add(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


def check_curves(config: TrainingConfig) -> None:
    """Refuse what cannot be drawn.

    Raises:
        UsageError: W&B was asked for and is not installed.
    """
    if config.wandb_project and importlib.util.find_spec("wandb") is None:
        raise UsageError("wandb_project needs the package wandb", "pip install wandb, or leave the key out")


def open_curves(config: TrainingConfig, step: int) -> list[Curves]:
    """Return where the curves of a run are drawn, from the step after `step` on."""
    folder = config.output_dir / "logs"
    found: list[Curves] = []
    if config.tensorboard and importlib.util.find_spec("tensorboard") is not None:
        found.append(_TensorBoard(folder, step))
    if config.wandb_project:
        folder.mkdir(parents=True, exist_ok=True)
        found.append(_Wandb(config, folder))
    return found
