"""The models that a generator holds: one base with its LoRAs, and one upscaler."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.errors import ModelFileError
from charaforge.generation.lora_shelf import LoraShelf
from charaforge.perception.upscale import Upscaler
from charaforge.warehouse.registry import Registry

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory.

    Attributes:
        bundle: its parts.
        card: what its card says.
        stamp: names, sizes and times of its files when it was loaded.
        loras: the LoRAs that were used with it.
    """

    bundle: Bundle
    card: dict[str, Any]
    stamp: Stamp
    loras: LoraShelf


@dataclass(frozen=True)
class LoadedUpscaler:
    """An upscaler in memory, with its name and the sha256 of its weights."""

    name: str
    net: Upscaler
    sha256: str


class ModelShelf:
    """Loads models by name and keeps what was used last; files that change on the disk are loaded again.

    Args:
        registry: where names are looked up.
        device: where the models shall be.
    """

    def __init__(self, registry: Registry, device: torch.device) -> None:
        self._registry = registry
        self._device = device
        self._base: LoadedBase | None = None
        self._upscaler: LoadedUpscaler | None = None

    def base(self, name: str) -> LoadedBase:
        """Return a base model; another one that was held is let go.

        Raises:
            UnknownNameError: there is none of that name.
            ModelFileError: it cannot be loaded, or is of a family that is not rendered.
        """
        entry = self._registry.get(name, "base")
        if entry.family not in ("", "sd15"):
            raise ModelFileError(
                f"the model {name!r} is of the family {entry.family!r}", "choose a model of the family sd15"
            )
        stamp = _stamp(entry.path)
        held = self._base
        if held is None or held.bundle.name != name or held.stamp != stamp:
            self._base = None  # frees the memory before the next is loaded
            bundle = load_bundle(entry.path, name, self._device)
            held = self._base = LoadedBase(bundle, entry.card, stamp, LoraShelf(bundle, self._registry))
        return held

    def upscaler(self, name: str) -> LoadedUpscaler:
        """Return an upscaler.

        Raises:
            UnknownNameError: there is none of that name.
            ModelFileError: it cannot be loaded.
        """
        entry = self._registry.get(name, "upscaler")
        sha256 = _sha256(entry.path / "model.onnx")
        if self._upscaler is None or (self._upscaler.name, self._upscaler.sha256) != (name, sha256):
            self._upscaler = LoadedUpscaler(name, Upscaler(entry.path), sha256)
        return self._upscaler


def _stamp(folder: Path) -> Stamp:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in told)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
