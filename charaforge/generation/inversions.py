"""The textual inversions of the warehouse: read when a prompt names one, and again when its file changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from charaforge.diffusion.embeddings import read_embedding
from charaforge.errors import ModelFileError
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.registry import Registry

Stamp = tuple[int, int]


class Inversions:
    """Finds the embeddings that prompts name.

    Args:
        registry: where names are looked up.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._read: dict[Path, tuple[Stamp, Mapping[int, Tensor]]] = {}

    def of(
        self, run: Sequence[tuple[GenerationRequest, GenerationRequest]]
    ) -> dict[str, Mapping[int, Tensor]]:
        """Return the embeddings whose name stands in a settled prompt of the run, by lower-case name.

        Raises:
            ModelFileError: a file that is named cannot be read.
        """
        words = " ".join(f"{settled.prompt} {settled.negative}" for _, settled in run).lower()
        named = [entry for entry in self._registry.list("embedding") if entry.name.lower() in words]
        return {entry.name.lower(): self._vectors(entry.path) for entry in named}

    def _vectors(self, path: Path) -> Mapping[int, Tensor]:
        file = weights_file(path)
        if file is None:
            raise ModelFileError(f"the embedding in {path} has no safetensors file", "put one there")
        about = file.stat()
        stamp = (about.st_mtime_ns, about.st_size)
        known = self._read.get(file)
        if known is None or known[0] != stamp:
            known = self._read[file] = (stamp, read_embedding(file))
        return known[1]
