"""Pictures rendered with a LoRA of the run, by the same generator and settings that users have.

The generator loads the LoRA from its file, so that a sample shows what users will get, and not what the
trainer believes it has. It is made anew each time and let go afterwards: between samples it takes no memory.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from charaforge.errors import CharaForgeError, UnknownNameError
from charaforge.generation.generator import Generator
from charaforge.generation.outputs import save
from charaforge.logs import get_logger
from charaforge.requests.generation import MAX_SEED, GenerationRequest, LoraUse
from charaforge.training.config import TrainingConfig
from charaforge.training.export import Exporter
from charaforge.training.network import Adapter
from charaforge.training.setup import Prepared
from charaforge.warehouse.cards import read_card
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry

logger = get_logger(__name__)


class RunRegistry(Registry):
    """The registry of a warehouse that also knows the base and the LoRA of a run, wherever they lie.

    Args:
        warehouse: the warehouse.
        base: the base of the run.
        lora: a LoRA file of the run, with the name it is asked for by.
    """

    def __init__(self, warehouse: Warehouse, base: ModelEntry, lora: ModelEntry) -> None:
        super().__init__(warehouse)
        self._others = Registry(warehouse)
        self._of_run = {(entry.name, entry.kind): entry for entry in (base, lora)}

    def get(self, name: str, kind: str) -> ModelEntry:
        """Return the model called `name`, see `Registry.get`."""
        found = self._of_run.get((name, kind))
        return self._others.get(name, kind) if found is None else found


class Samples:
    """Renders the samples of a run; what goes wrong is told and does not stop the training.

    Args:
        run: the run.
        warehouse: where the generator finds other models, such as upscalers.
        exporter: writes the LoRA files that are shown.
        unet: of the trainer; on a GPU it makes room meanwhile.
    """

    def __init__(self, run: Prepared, warehouse: Warehouse, exporter: Exporter, unet: nn.Module) -> None:
        self._run = run
        self._warehouse = warehouse
        self._exporter = exporter
        self._unet = unet

    def render(self, adapter: Adapter, step: int) -> None:
        """Render the samples of a step, of which the adapter holds the weights."""
        config = self._run.config
        file = self._exporter.checkpoint_file(step)
        kept = file.is_file()
        if not kept:
            self._exporter.checkpoint(adapter, step)
        try:
            with parked(self._unet, self._run.processes.device):
                render_samples(config, self._warehouse, self._base(), file, step)
        except (CharaForgeError, RuntimeError) as error:
            logger.warning("no samples of step %d: %s", step, error)
        finally:
            if not kept:
                file.unlink(missing_ok=True)

    def _base(self) -> ModelEntry:
        name, bundle = self._run.config.model_id, self._run.base.bundle
        try:
            return Registry(self._warehouse).get(name, "base")
        except UnknownNameError:
            path = Path(name).expanduser()
            return ModelEntry(bundle.name, "base", bundle.family, path, embedded=False, card=read_card(path))


def render_samples(
    config: TrainingConfig, warehouse: Warehouse, base: ModelEntry, lora: Path, step: int
) -> Path:
    """Render every prompt of `sample_prompts` with the run's seed.

    Args:
        config: the run.
        warehouse: its upscaler and other models are used as ever.
        base: of the run.
        lora: the LoRA file that is shown.
        step: the step whose weights it has.

    Returns:
        The folder of the pictures, `samples/step<step>/`; what was in it before is replaced.
    """
    folder = config.output_dir / "samples" / f"step{step:08d}"
    shutil.rmtree(folder, ignore_errors=True)
    name = f"{config.lora_id}@{step}"
    entry = ModelEntry(name, "lora", base.family, lora, embedded=False, card=read_card(lora))
    generator = Generator(warehouse, RunRegistry(warehouse, base, entry))
    for image in generator.generate_many(sample_requests(config, base.name, name)):
        save(image, folder)
    del generator
    gc.collect()
    return folder


def sample_requests(config: TrainingConfig, base: str, lora: str) -> list[GenerationRequest]:
    """Return the requests of the samples, which are the same ones at every step but for the LoRA's name."""
    return [
        GenerationRequest(
            prompt=prompt,
            negative=config.sample_negative,
            model=base,
            loras=(LoraUse(name=lora),),
            seed=config.seed % (MAX_SEED + 1),
            clip_skip=config.clip_skip,
        )
        for prompt in config.sample_prompts
    ]


@contextmanager
def parked(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Keep a module in the computer's memory while a GPU is needed for something else."""
    if device.type != "cuda":
        yield
        return
    module.to("cpu")
    torch.cuda.empty_cache()
    try:
        yield
    finally:
        torch.cuda.empty_cache()
        module.to(device)
