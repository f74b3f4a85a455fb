"""The LoRAs of one base model: attached when they are first used, and kept for the next time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_adapters import Strength, activate, attach, detach
from charaforge.diffusion.lora_format import LoraFile, read_lora
from charaforge.diffusion.lora_updates import size_in_bytes
from charaforge.errors import CharaForgeError, ModelFileError
from charaforge.requests.generation import LoraUse
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.registry import Registry

KEPT = 8
Stamp = tuple[Path, int, int]


@dataclass(frozen=True)
class ActiveLora:
    """A LoRA that acts, and how strongly."""

    use: LoraUse
    file: LoraFile


class LoraShelf:
    """Lets LoRAs act on a bundle, by name; a file that changed on the disk is read as it now is.

    Args:
        bundle: the base model.
        registry: where names are looked up.
    """

    def __init__(self, bundle: Bundle, registry: Registry) -> None:
        self._bundle = bundle
        self._registry = registry
        self._files: dict[str, tuple[Stamp, LoraFile]] = {}  # by name, as last read
        self._attached: list[str] = []  # names of adapters, the one used last at the end
        self._pinned: set[str] = set()  # names of LoRAs

    def use(self, uses: Sequence[LoraUse]) -> list[ActiveLora]:
        """Let exactly these LoRAs act; a weight of 0 is as good as not naming it.

        Raises:
            UnknownNameError: there is none of that name.
            ModelFileError: it cannot be read, or was made for another base.
        """
        named = [ActiveLora(use, self._read(use.name)) for use in uses]
        active = [lora for lora in named if _acts(lora.use)]
        strengths: dict[str, Strength] = {}
        seen: Counter[str] = Counter()
        for lora in active:  # two names may stand for the same content, and then it acts twice
            adapter = _adapter(lora.file, seen[lora.file.sha256])
            seen[lora.file.sha256] += 1
            self._attach(lora.file, adapter)
            strengths[adapter] = _strength(lora.use)
        self._tidy(strengths)
        activate(self._bundle, strengths)
        return active

    def pin(self, names: Collection[str]) -> dict[str, CharaForgeError]:
        """Attach these LoRAs and keep them, until this is called without them; none is let act.

        Returns:
            Those that could not be attached, with the reason: unknown, broken, or made for another base.
        """
        let_go = self._pinned - set(names)
        self._pinned = set(names)
        faults: dict[str, CharaForgeError] = {}
        for name in names:
            try:
                file = self._read(name)
                self._attach(file, _adapter(file))
            except CharaForgeError as error:
                faults[name] = error
        for name in let_go & self._files.keys():
            self._release(name)
        return faults

    @property
    def size(self) -> int:
        """Bytes of memory that the LoRAs take."""
        return sum(size_in_bytes(u) for _, file in self._files.values() for u in file.layers.values())

    def _release(self, name: str) -> None:
        """Free the memory of a LoRA."""
        _, file = self._files.pop(name)
        adapter = _adapter(file)
        if adapter in self._attached:
            detach(self._bundle, adapter)
            self._attached.remove(adapter)

    def _tidy(self, needed: Collection[str]) -> None:
        """Let those go that were used longest ago, but for what is needed now or pinned."""
        kept = {_adapter(file) for name, (_, file) in self._files.items() if name in self._pinned}
        idle = [name for name in self._attached if name not in needed and name not in kept]
        for old in idle[: max(0, len(self._attached) - len(kept) - KEPT)]:
            detach(self._bundle, old)
            self._attached.remove(old)
        self._files = {
            name: (stamp, file)
            for name, (stamp, file) in self._files.items()
            if name in self._pinned or _adapter(file) in self._attached
        }

    def _attach(self, lora: LoraFile, adapter: str) -> None:
        if adapter in self._attached:
            self._attached.remove(adapter)
        else:
            attach(self._bundle, lora, adapter)
        self._attached.append(adapter)

    def _read(self, name: str) -> LoraFile:
        """Return the content of a LoRA's file; it is only read where it is not the one that is held."""
        entry = self._registry.get(name, "lora")
        file = weights_file(entry.path)
        if file is None:
            raise ModelFileError(
                f"the LoRA {name!r} has no weights yet",
                f"train it, or put {name}.safetensors into {entry.path}",
            )
        told = file.stat()
        stamp = file.resolve(), told.st_size, told.st_mtime_ns
        held = self._files.get(name)
        if held is None or held[0] != stamp:
            held = self._files[name] = stamp, read_lora(file)
        return held[1]


def _acts(use: LoraUse) -> bool:
    return use.weight != 0.0 or use.te_weight not in (None, 0.0)


def _strength(use: LoraUse) -> Strength:
    text = use.weight if use.te_weight is None else use.te_weight
    return Strength(use.weight, text, use.blocks)


def _adapter(lora: LoraFile, place: int = 0) -> str:
    """Return the name that a LoRA is attached by: the same for the same content."""
    return f"lora_{lora.sha256[:16]}" + (f"_{place}" if place else "")
