"""The textual inversions of the warehouse: read when a prompt names one, and again when its file changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from charaforge.diffusion.embeddings import read_embedding
from charaforge.diffusion.prompt_chunks import split_at_words
from charaforge.errors import ModelFileError
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.registry import Registry


@dataclass(frozen=True)
class Inversion:
    """One file that was read.

    Attributes:
        stamp: its time and size then.
        vectors: by their width.
        sha256: of the file.
    """

    stamp: tuple[int, int]
    vectors: Mapping[int, Tensor]
    sha256: str


class Inversions:
    """Finds the embeddings that prompts name.

    Args:
        registry: where names are looked up.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._read: dict[Path, Inversion] = {}

    def of(self, requests: Sequence[GenerationRequest]) -> dict[str, Mapping[int, Tensor]]:
        """Return the embeddings whose name stands in a rendered prompt, by lower-case name.

        Raises:
            ModelFileError: a file that is named cannot be read.
        """
        found: dict[str, Mapping[int, Tensor]] = {}
        for request in requests:
            found |= {name: one.vectors for name, one in self._named(request).items()}
        return found

    def sha256s(self, rendered: GenerationRequest) -> dict[str, str]:
        """Return name -> sha256 of the file of each embedding that a picture's prompts name."""
        return {name: one.sha256 for name, one in self._named(rendered).items()}

    def _named(self, request: GenerationRequest) -> dict[str, Inversion]:
        entries = {entry.name.lower(): entry for entry in self._registry.list("embedding")}
        words = {
            word.lower()
            for text in (request.prompt, request.negative)
            for word in split_at_words(text, entries)
        }
        return {name: self._inversion(entry.path) for name, entry in entries.items() if name in words}

    def _inversion(self, path: Path) -> Inversion:
        file = weights_file(path)
        if file is None:
            raise ModelFileError(f"the embedding in {path} has no safetensors file", "put one there")
        about = file.stat()
        stamp = (about.st_mtime_ns, about.st_size)
        known = self._read.get(file)
        if known is None or known.stamp != stamp:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            known = self._read[file] = Inversion(stamp, read_embedding(file), digest)
        return known
