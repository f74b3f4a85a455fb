"""Weights that a loader left in the mapped file: their pages can leave memory as soon as they were read."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

from torch import Tensor

from charaforge.generation.heap import libc

_MAPS = Path("/proc/self/maps")
_DONT_NEED = 4  # MADV_DONTNEED of Linux


class MappedFiles:
    """The file mappings of this process as they are now; on systems without /proc there seem to be none."""

    def __init__(self) -> None:
        lines = _MAPS.read_text(encoding="utf-8").splitlines() if _MAPS.is_file() else []
        self._ranges = [_range(line) for line in lines if ".safetensors" in line]

    def forget(self, weight: Tensor) -> None:
        """Let the pages of a weight leave memory, if they are those of a file; they come back if it is read.

        Whole pages only: what lies beside the weight stays.
        """
        first = -(-weight.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (weight.data_ptr() + weight.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last and any(low <= first and last <= high for low, high in self._ranges):
            libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _DONT_NEED)


def _range(line: str) -> tuple[int, int]:
    low, _, high = line.split()[0].partition("-")
    return int(low, 16), int(high, 16)
