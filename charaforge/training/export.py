"""The LoRA file in kohya's format: layers under the names every program knows, and a header that tells."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from charaforge.diffusion.lora_format import write_lora
from charaforge.diffusion.lora_updates import Update
from charaforge.diffusion.lora_writing import precision
from charaforge.training.network import Adapter
from charaforge.training.run_header import run_header
from charaforge.training.setup import Prepared
from charaforge.training.thumbnail import THUMBNAIL, as_data_uri


class Exporter:
    """Writes LoRA files of one run.

    Args:
        folder: of the LoRA; its name is the LoRA's id.
        run: what is trained.
    """

    def __init__(self, folder: Path, run: Prepared) -> None:
        self._folder = folder
        self._header = run_header(run)
        self._dtype = precision(run.config.save_precision)
        self._kind = run.config.thumbnail
        self._timed = run.config.save_times
        self._pictures_per_epoch = max(1, sum(sample.repeats for sample in run.dataset.train))
        self._pictures_per_step = run.config.pictures_per_step * run.processes.count
        self._first_picture = run.dataset.train[0].path

    @property
    def lora_file(self) -> Path:
        """The LoRA itself."""
        return self._folder / f"{self._folder.name}.safetensors"

    def checkpoint_file(self, step: int) -> Path:
        """Return where the checkpoint of a step lies."""
        return self._folder / "checkpoints" / f"{self._folder.name}-step{step:08d}.safetensors"

    def checkpoint(self, adapter: Adapter, step: int) -> None:
        """Write `checkpoints/<id>-step00001000.safetensors`, which requests call `<id>@1000`."""
        self._write(self.checkpoint_file(step), adapter, step)

    def finish(self, adapter: Adapter, step: int) -> None:
        """Write the LoRA itself."""
        self._write(self.lora_file, adapter, step)

    def _write(self, path: Path, adapter: Adapter, step: int) -> None:
        epoch = -(-step * self._pictures_per_step // self._pictures_per_epoch)
        told = {**self._header, "ss_steps": str(step), "ss_epoch": str(epoch), **self._thumbnail()}
        if self._timed:
            told["ss_training_finished_at"] = f"{time.time():.0f}"
        write_lora(path, kohya_layers(adapter), told, self._dtype)

    def _thumbnail(self) -> Mapping[str, str]:
        """Return the header's thumbnail: the newest sample, or the first picture that is trained on."""
        samples = sorted((self._folder / "samples").rglob("*.png")) if self._kind == "sample" else []
        chosen = self._first_picture if self._kind == "picture" else next(reversed(samples), None)
        return {} if chosen is None else {THUMBNAIL: as_data_uri(chosen)}


def kohya_layers(adapter: Adapter) -> dict[str, Update]:
    """Return the adapter's updates by kohya's names: the running mean of its weights, if it has one."""
    return {layer.target.name: layer.update(weights) for layer, weights in adapter.exported()}
