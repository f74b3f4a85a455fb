"""Latents and text-encoder outputs, computed once and kept by what they were computed from.

A key is a hash of the model's weights and of everything that goes in (picture bytes, size, captions), so an
edited picture, another caption or another model can never meet a stale entry. Each entry carries a checksum
of itself: one that was cut off or has changed on the disk counts as absent.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from charaforge.warehouse.atomic import replacing

_FORMAT = "2"
"""Raised whenever entries come to mean something else."""
DEFAULT_LIMIT = 40 * 2**30
_SUM = "sha256"


class TensorCache:
    """Tensors on the disk, one file per key; a broken file counts as absent.

    Args:
        folder: where the files go; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[Path] = set()
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
        self._used.add(path)
        value = _read(path)
        if value is not None:
            self.hits += 1
            return value
        self.misses += 1
        value = compute().detach().cpu().contiguous()
        with replacing(path, durable=False) as temporary:
            save_file({"value": value}, temporary, metadata={_SUM: _digest(value)})
        return value

    def trim(self, limit: int = DEFAULT_LIMIT) -> int:
        """Delete the entries that were not used for longest until the rest takes at most `limit` bytes.

        What this object has given stays. Returns the bytes that were freed.
        """
        entries = [(file.stat(), file) for file in self._folder.glob("??/*.safetensors")]
        excess = sum(told.st_size for told, _ in entries) - limit
        freed = 0
        for told, file in sorted(entries, key=lambda entry: entry[0].st_mtime_ns):
            if freed >= excess:
                break
            if file not in self._used:
                file.unlink(missing_ok=True)
                freed += told.st_size
        return freed


def _read(path: Path) -> Tensor | None:
    """Return an entry and mark it as used now; None where it is absent or damaged."""
    try:
        with safe_open(path, "pt") as file:
            told, value = (file.metadata() or {}).get(_SUM), file.get_tensor("value")
        if told != _digest(value):
            return None
        os.utime(path)
    except (OSError, SafetensorError):
        return None
    found: Tensor = value
    return found


def _digest(value: Tensor) -> str:
    return hashlib.sha256(value.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
