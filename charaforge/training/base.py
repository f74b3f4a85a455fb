"""The base model of a run: found by name or path, loaded, its own sizes known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.errors import ModelFileError, UsageError
from charaforge.training.config import TrainingConfig
from charaforge.warehouse.cards import model_id, read_card
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry


@dataclass(frozen=True)
class Base:
    """The model that a LoRA is trained for.

    Attributes:
        bundle: its parts, float32.
        resolution: training resolution, px.
        multiple: both sides of a training picture are multiples of this, px.
        license: as its card says, "" where it says nothing.
    """

    bundle: Bundle
    resolution: int
    multiple: int
    license: str


def load_base(config: TrainingConfig, warehouse: Warehouse, device: torch.device) -> Base:
    """Load the base of a run.

    Raises:
        UnknownNameError: neither the registry nor the disk knows `model_id`.
        ModelFileError: the model is broken or of another kind.
        UsageError: the resolution is too small for it.
    """
    folder = Path(config.model_id).expanduser()
    if (folder / "model_index.json").is_file():
        name, card = model_id(folder.resolve()), read_card(folder)
    else:
        entry = Registry(warehouse).get(config.model_id, "base")
        name, folder, card = entry.name, entry.path, entry.card
    bundle = load_bundle(folder, name, device)
    if bundle.family != "sd15":
        raise ModelFileError(
            f"the base {name!r} is of the family {bundle.family!r}",
            "LoRAs are trained for bases of family sd15",
        )
    unet: Any = bundle.unet.config
    multiple = bundle.latent_factor * 2 ** (len(unet.block_out_channels) - 1)
    own = int(card.get("native_side") or unet.sample_size * bundle.latent_factor)
    resolution = config.resolution or own
    if resolution < multiple:
        raise UsageError(f"resolution {resolution} is too small for {name}", f"give at least {multiple}")
    return Base(bundle, resolution, multiple, str(card.get("license", "")))
