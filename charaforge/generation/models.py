"""The models that a generator holds: one base, and the LoRAs that were used with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from charaforge.diffusion.bundle import SD15Bundle, load_bundle
from charaforge.diffusion.lora_adapters import activate, attach, detach
from charaforge.diffusion.lora_format import LoraFile, read_lora
from charaforge.errors import ModelFileError
from charaforge.perception.upscale import Upscaler
from charaforge.requests.generation import LoraUse
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.registry import Registry

KEPT_LORAS = 8
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory.

    Attributes:
        bundle: its parts.
        card: what its card says.
        stamp: names, sizes and times of its files when it was loaded.
    """

    bundle: SD15Bundle
    card: dict[str, Any]
    stamp: Stamp


@dataclass(frozen=True)
class ActiveLora:
    """A LoRA that acts, and how strongly."""

    use: LoraUse
    file: LoraFile


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
        self._loras: dict[str, LoraFile] = {}
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
            self._base, self._loras = None, {}  # frees the memory before the next is loaded
            held = LoadedBase(load_bundle(entry.path, name, self._device), entry.card, stamp)
            self._base = held
        return held

    def use_loras(self, base: LoadedBase, uses: Sequence[LoraUse]) -> list[ActiveLora]:
        """Let exactly these LoRAs act on the base; a weight of 0 is as good as not naming it.

        Raises:
            UnknownNameError: there is none of that name.
            ModelFileError: it cannot be read, or was made for another base.
        """
        active = [ActiveLora(use, self._lora(use.name)) for use in uses if use.weight != 0.0]
        for lora in active:
            adapter = _adapter(lora.file)
            if adapter in self._loras:
                self._loras[adapter] = self._loras.pop(adapter)  # now the one used last
                continue
            attach(base.bundle, lora.file, adapter)
            self._loras[adapter] = lora.file
        needed = {_adapter(lora.file) for lora in active}
        idle = [name for name in self._loras if name not in needed]
        for old in idle[: max(0, len(self._loras) - KEPT_LORAS)]:
            detach(base.bundle, old)
            del self._loras[old]
        activate(base.bundle, {_adapter(lora.file): lora.use.weight for lora in active})
        return active

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

    def _lora(self, name: str) -> LoraFile:
        entry = self._registry.get(name, "lora")
        file = weights_file(entry.path)
        if file is None:
            raise ModelFileError(
                f"the LoRA {name!r} has no weights yet",
                f"train it, or put {name}.safetensors into {entry.path}",
            )
        return read_lora(file)


def _adapter(lora: LoraFile) -> str:
    """Return the name that a LoRA is attached by: the same for the same content."""
    return f"lora_{lora.sha256[:16]}"


def _stamp(folder: Path) -> Stamp:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in told)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
