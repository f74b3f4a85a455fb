"""The base model of a run: found by name or path, loaded, its own sizes and its prediction known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.errors import UsageError
from charaforge.generation.models import model_path
from charaforge.training.config import TrainingConfig
from charaforge.training.prediction import said, settled
from charaforge.warehouse.cards import model_id, read_card
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry


@dataclass(frozen=True)
class Base:
    """The model that a LoRA is trained for.

    Attributes:
        bundle: its parts, float32.
        resolution: training resolution, px.
        multiple: both sides of a training picture are multiples of this, px.
        license: as its card says, "" where it says nothing.
        notes: what was not found in its files but in the configuration, one line each.
    """

    bundle: Bundle
    resolution: int
    multiple: int
    license: str
    notes: tuple[str, ...] = ()


def load_base(config: TrainingConfig, warehouse: Warehouse, device: torch.device) -> Base:
    """Load the base of a run: SD1.x or SDXL, a diffusers folder or a single file.

    Raises:
        UnknownNameError: neither the registry nor the disk knows `model_id`.
        ModelFileError: the model is broken or of another kind.
        UsageError: the resolution is too small for it, or the configuration contradicts what the model says.
    """
    entry = find_base(config.model_id, warehouse)
    weights = model_path(entry)
    prediction = settled(config, said(weights, entry.card), entry.name)
    bundle = load_bundle(weights, entry.name, device, card=prediction.card)
    unet: Any = bundle.unet.config
    multiple = bundle.latent_factor * 2 ** (len(unet.block_out_channels) - 1)
    own = int(entry.card.get("native_side") or unet.sample_size * bundle.latent_factor)
    resolution = config.resolution or own
    if resolution < multiple:
        raise UsageError(
            f"resolution {resolution} is too small for {entry.name}", f"give at least {multiple}"
        )
    return Base(bundle, resolution, multiple, str(entry.card.get("license", "")), prediction.notes)


def find_base(model: str, warehouse: Warehouse) -> ModelEntry:
    """Return a base by its registry name, or by the path of its folder or file.

    Raises:
        UnknownNameError: neither the registry nor the disk knows it.
        ModelFileError: its card cannot be read, or it is a pickle.
    """
    path = Path(model).expanduser()
    if (path / "model_index.json").is_file() or (path.suffix == ".safetensors" and path.is_file()):
        card = read_card(path)
        name = model_id(path.resolve())
        return ModelEntry(name, "base", str(card.get("family", "")), path, embedded=False, card=card)
    return Registry(warehouse).get(model, "base")
