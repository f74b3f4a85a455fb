"""The LoRAs of one base model: attached when they are first used, and kept for the next time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_adapters import activate, attach, detach
from charaforge.diffusion.lora_format import LoraFile, read_lora
from charaforge.errors import ModelFileError
from charaforge.requests.generation import LoraUse
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.registry import Registry

KEPT = 8


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
        self._attached: list[str] = []  # names of adapters, the one used last at the end

    def use(self, uses: Sequence[LoraUse]) -> list[ActiveLora]:
        """Let exactly these LoRAs act; a weight of 0 is as good as not naming it.

        Raises:
            UnknownNameError: there is none of that name.
            ModelFileError: it cannot be read, or was made for another base.
        """
        named = [ActiveLora(use, self._read(use.name)) for use in uses]
        active = [lora for lora in named if lora.use.weight != 0.0]
        weights: defaultdict[str, float] = defaultdict(float)  # two names may stand for the same content
        for lora in active:
            self._attach(lora.file)
            weights[_adapter(lora.file)] += lora.use.weight
        idle = [name for name in self._attached if name not in weights]
        for old in idle[: max(0, len(self._attached) - KEPT)]:
            detach(self._bundle, old)
            self._attached.remove(old)
        activate(self._bundle, weights)
        return active

    def _attach(self, lora: LoraFile) -> None:
        adapter = _adapter(lora)
        if adapter in self._attached:
            self._attached.remove(adapter)
        else:
            attach(self._bundle, lora, adapter)
        self._attached.append(adapter)

    def _read(self, name: str) -> LoraFile:
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
