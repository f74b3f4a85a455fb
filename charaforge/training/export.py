"""The LoRA file in kohya's format: layers under the names every program knows, and a header that tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charaforge.diffusion.lora_format import describe, write_lora
from charaforge.diffusion.lora_names import TEXT_PREFIX, UNET_PREFIX, kohya_name
from charaforge.diffusion.lora_updates import LoraLayer
from charaforge.training.config import TrainingConfig
from charaforge.training.dataset import Dataset
from charaforge.training.network import Adapter
from charaforge.training.precision import dtype_name
from charaforge.training.setup import Plan, Prepared

_PREFIXES = {"unet": UNET_PREFIX, "text_encoder": TEXT_PREFIX}
_STEP = "ss_steps"


class Exporter:
    """Writes LoRA files of one run.

    Args:
        folder: of the LoRA; its name is the LoRA's id.
        header: metadata of the run, see `run_header`.
    """

    def __init__(self, folder: Path, header: Mapping[str, str]) -> None:
        self._folder = folder
        self._header = dict(header)

    @property
    def lora_file(self) -> Path:
        """The LoRA itself."""
        return self._folder / f"{self._folder.name}.safetensors"

    def checkpoint(self, adapter: Adapter, step: int) -> None:
        """Write `checkpoints/<id>-step00001000.safetensors`, which requests call `<id>@1000`."""
        file = f"{self._folder.name}-step{step:08d}.safetensors"
        self._write(self._folder / "checkpoints" / file, adapter, step)

    def finish(self, adapter: Adapter, step: int) -> None:
        """Write the LoRA itself."""
        self._write(self.lora_file, adapter, step)

    def _write(self, path: Path, adapter: Adapter, step: int) -> None:
        write_lora(path, kohya_layers(adapter), {**self._header, _STEP: str(step)})


def kohya_layers(adapter: Adapter) -> dict[str, LoraLayer]:
    """Return the adapter's layers by kohya's names, in fp16, which every loader reads."""
    return {
        kohya_name(_PREFIXES[layer.part], layer.module): LoraLayer(
            _half(layer.down), _half(layer.up), layer.alpha
        )
        for layer in adapter.layers
    }


def run_header(run: Prepared) -> dict[str, str]:
    """Return the metadata of a run's LoRA files in kohya's and modelspec's keys, without the step."""
    config, dataset, base = run.config, run.dataset, run.base
    return describe(
        title=config.lora_id,
        base_name=base.bundle.name,
        base_sha256=base.bundle.sha256,
        side=base.resolution,
        prediction=base.bundle.schedule.prediction,
        rank=config.rank,
        alpha=config.network_alpha,
        placeholders={"character": dataset.character},
        extra=_about_pictures(config, dataset) | _about_training(config, run.plan),
    )


def _about_pictures(config: TrainingConfig, dataset: Dataset) -> dict[str, Any]:
    tags = Counter(tag for sample in dataset.train for tag in sample.caption.tags)
    sizes = Counter(sample.size for sample in dataset.train)
    source = (config.dataset_meta or config.train_data_dir or Path()).name
    return {
        "ss_tag_frequency": {source: dict(tags.most_common())},
        "ss_dataset_dirs": {source: {"n_repeats": 1, "img_count": len(dataset.train)}},
        "ss_bucket_info": {
            "buckets": {
                str(number): {"resolution": list(size), "count": count}
                for number, (size, count) in enumerate(sorted(sizes.items()))
            }
        },
        "ss_num_train_images": str(len(dataset.train)),
    }


def _about_training(config: TrainingConfig, plan: Plan) -> dict[str, Any]:
    return {
        "ss_learning_rate": f"{config.learning_rate:g}",
        "ss_unet_lr": f"{config.learning_rate:g}",
        "ss_text_encoder_lr": f"{config.text_learning_rate:g}" if config.text_encoder_train else "None",
        "ss_optimizer": plan.optimizer,
        "ss_mixed_precision": dtype_name(plan.dtype),
        "ss_lr_scheduler": config.lr_scheduler,
        "ss_lr_warmup_steps": str(config.lr_warmup_steps),
        "ss_max_train_steps": str(config.max_train_steps),
        "ss_total_batch_size": str(config.pictures_per_step),
        "ss_gradient_accumulation_steps": str(config.gradient_accumulation_steps),
        "ss_caption_dropout_rate": f"{config.caption_dropout:g}",
        "ss_caption_tag_dropout_rate": f"{config.tag_dropout:g}",
        "ss_shuffle_caption": str(config.shuffle_tags),
        "ss_seed": str(config.seed),
        "ss_network_args": _network_args(config),
    }


def _network_args(config: TrainingConfig) -> dict[str, str]:
    if not config.conv_rank:
        return {}
    return {"conv_dim": str(config.conv_rank), "conv_alpha": f"{config.network_conv_alpha:g}"}


def _half(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float16)
