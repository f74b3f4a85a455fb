"""Latents and text-encoder outputs, computed once and kept by what they were computed from.

A key is a hash of the model's files and of everything that goes in (picture bytes, size, captions), so an
edited picture, another caption or another model can never meet a stale entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from charaforge.warehouse.atomic import replacing

_FORMAT = "1"
"""Raised whenever entries come to mean something else."""


class TensorCache:
    """Tensors on the disk, one file per key; a broken file counts as absent.

    Args:
        folder: where the files go; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hits = 0
        self.misses = 0

    def get(self, parts: tuple[object, ...], compute: Callable[[], Tensor]) -> Tensor:
        """Return the tensor for `parts`, computing and keeping it when it is not there.

        Args:
            parts: everything that decides the tensor; the `str` of each part counts.
            compute: makes the tensor.
        """
        key = hashlib.sha256("\x1f".join(map(str, (_FORMAT, *parts))).encode()).hexdigest()
        path = self._folder / key[:2] / f"{key}.safetensors"
        try:
            value = load_file(path)["value"]
        except (FileNotFoundError, SafetensorError, KeyError):
            self.misses += 1
            value = compute().detach().cpu().contiguous()
            with replacing(path) as temporary:
                save_file({"value": value}, temporary)
            return value
        self.hits += 1
        return value
