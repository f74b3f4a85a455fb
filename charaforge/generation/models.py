"""The models that a generator holds: bases with their LoRAs as memory allows, and one upscaler."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from charaforge.config.settings import model_dtype
from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.vae import load_vae, with_vae
from charaforge.errors import CharaForgeError, ModelFileError
from charaforge.generation.lora_shelf import LoraShelf
from charaforge.generation.memory import first_place
from charaforge.generation.model_memory import Kept, budget_on
from charaforge.logs import get_logger
from charaforge.perception.upscale import Upscaler
from charaforge.warehouse.pins import pinned
from charaforge.warehouse.registry import ModelEntry, Registry

Stamp = tuple[tuple[str, int, int], ...]
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
logger = get_logger(__name__)


@dataclass(frozen=True)
class LoadedVae:
    """Another VAE than the base's own: its name, and the sha256 of its weights."""

    name: str
    sha256: str


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory.

    Attributes:
        bundle: its parts.
        card: what its card says.
        stamp: names, sizes and times of its files when it was loaded.
        loras: the LoRAs that were used with it.
        vae: the VAE that takes the place of its own.
    """

    bundle: Bundle
    card: dict[str, Any]
    stamp: Stamp
    loras: LoraShelf
    vae: LoadedVae | None = None

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        modules = (self.bundle.unet, self.bundle.vae, *self.bundle.text_encoders)
        return sum(value.nbytes for m in modules for value in m.parameters()) + self.loras.size


@dataclass(frozen=True)
class LoadedUpscaler:
    """An upscaler in memory, with its name and the sha256 of its weights."""

    name: str
    net: Upscaler
    sha256: str


class ModelShelf:
    """Loads models by name and keeps them as memory allows; files that change on the disk are loaded again.

    Args:
        registry: where names are looked up.
        device: where the models shall be.
        dtype: of their weights; by default `MODEL_DTYPE`, else float16 on CUDA and float32 elsewhere.
    """

    def __init__(self, registry: Registry, device: torch.device, dtype: torch.dtype | None = None) -> None:
        self._registry = registry
        self._device = device
        self._dtype = dtype or _default_dtype(device)
        self._bases: Kept[LoadedBase] = Kept(lambda base: base.size, budget_on(device))
        self._vaes: dict[str, tuple[Stamp, LoadedBase]] = {}  # by "base/vae", at most one for each base
        self._upscaler: LoadedUpscaler | None = None
        self._pinned: dict[str, set[str]] = {}  # base -> LoRAs
        self._unloaded: dict[str, CharaForgeError] = {}  # by LoRA

    def base(self, name: str, vae: str | None = None) -> LoadedBase:
        """Return a base model; those used longest ago are let go where it needs their room.

        Args:
            name: its registry name.
            vae: registry name of the VAE that shall take the place of its own.

        Raises:
            UnknownNameError: there is none of that name.
            ModelFileError: it cannot be loaded.
        """
        held = self._base(name)
        return held if vae is None else self._with_vae(held, vae)

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

    def follow_pins(self) -> Mapping[str, CharaForgeError]:
        """Load what is pinned in the warehouse, and free what no longer is.

        Workers call this when they are idle and before they render.

        Returns:
            Names of LoRAs that could not be loaded, with the reason; tried again when the pins change.
        """
        wanted: dict[str, set[str]] = {}
        for known in pinned(self._registry.warehouse):
            wanted.setdefault(known.model, set()).add(known.lora)
        if wanted == self._pinned:
            return self._unloaded
        before, self._pinned, self._unloaded = self._pinned, wanted, {}
        for name in sorted(wanted.keys() | {base for base in before if base in self._bases}):
            loras = sorted(wanted.get(name, ()))
            try:
                faults = self._base(name).loras.pin(loras)
            except CharaForgeError as error:
                faults = dict.fromkeys(loras, error)
            for lora, fault in faults.items():
                logger.warning("%s, pinned to %s, is not loaded: %s", lora, name, fault.message)
            self._unloaded.update(faults)
        return self._unloaded

    @property
    def held(self) -> list[str]:
        """Names of the bases in memory, the one used longest ago first."""
        return list(self._bases)

    def _base(self, name: str) -> LoadedBase:
        entry = self._registry.get(name, "base")
        weights = model_path(entry)
        stamp = _stamp(weights)
        held = self._bases.get(name)
        if held is None or held.stamp != stamp:
            self._forget(name)
            expected = sum(size for file, size, _ in stamp if file.endswith(".safetensors"))
            self._bases.make_room(expected, frozenset(self._pinned))
            self._vaes = {key: value for key, value in self._vaes.items() if key.split("/")[0] in self._bases}
            lying = first_place(self._device, expected)
            bundle = load_bundle(weights, name, self._device, self._dtype, entry.card, lying)
            held = LoadedBase(bundle, entry.card, stamp, LoraShelf(bundle, self._registry))
            self._bases.put(name, held)
        return held

    def _forget(self, name: str) -> None:
        self._bases.drop(name)
        self._vaes = {key: value for key, value in self._vaes.items() if key.split("/")[0] != name}

    def _with_vae(self, base: LoadedBase, name: str) -> LoadedBase:
        entry = self._registry.get(name, "vae")
        path = model_path(entry)
        stamp, key = _stamp(path), f"{base.bundle.name}/{name}"
        held = self._vaes.get(key)
        if held is None or held[0] != stamp:
            self._vaes = {k: v for k, v in self._vaes.items() if k.split("/")[0] != base.bundle.name}
            vae = load_vae(path, name, base.bundle)
            told = LoadedVae(name, path_sha256(path))
            held = self._vaes[key] = stamp, replace(base, bundle=with_vae(base.bundle, vae), vae=told)
        return held[1]


def model_path(entry: ModelEntry) -> Path:
    """Return what is loaded of a model: its diffusers folder, or its only weights file.

    Raises:
        ModelFileError: its folder holds neither.
    """
    path = entry.path
    if path.is_file() or any((path / config).is_file() for config in ("model_index.json", "config.json")):
        return path
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelFileError(
            f"{path} holds {len(files)} safetensors files and no model_index.json",
            "a model is a diffusers folder or one safetensors file",
        )
    return files[0]


def path_sha256(path: Path) -> str:
    """Return the sha256 of a file, or of the names and digests of all weights in a folder."""
    if path.is_file():
        return _sha256(path)
    files = sorted(path.rglob("*.safetensors"))
    lines = [f"{_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _default_dtype(device: torch.device) -> torch.dtype:
    told = model_dtype()
    return _DTYPES[told] if told else (torch.float16 if device.type == "cuda" else torch.float32)


def _stamp(path: Path) -> Stamp:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    told = [(file.relative_to(path.parent).as_posix(), file.stat()) for file in files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in told)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
