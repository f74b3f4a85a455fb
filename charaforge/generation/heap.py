"""What the C library does with memory that is freed; other ones than glibc are left alone."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # mallopt(3) of glibc
_MIB = 2**20


@cache
def libc() -> Any:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def keep_freed_memory() -> None:
    """Let up to 1 GiB of freed memory stay for the next step of denoising on a CPU (glibc).

    Left alone, large blocks go back to the system and are taken again in every step, and the system clears
    each page anew: 850,000 page faults for 64 pictures of mini-sd, a twentieth of the time.
    """
    if hasattr(libc(), "mallopt"):
        libc().mallopt(_MMAP_THRESHOLD, 32 * _MIB)  # the largest that glibc takes
        libc().mallopt(_TRIM_THRESHOLD, 1024 * _MIB)
        libc().mallopt(_TOP_PAD, 64 * _MIB)


def share_one_heap() -> None:
    """Let all threads that begin from now on take memory from one heap (glibc).

    Left alone, each of the many threads of a worker fills a heap of its own, and what they once needed stays
    taken: over 100,000 pictures the memory strays twice as far.
    """
    if hasattr(libc(), "mallopt"):
        libc().mallopt(_ARENA_MAX, 1)


def trim() -> None:
    """Give back to the system what the C library keeps of freed memory, where it can (glibc)."""
    if hasattr(libc(), "malloc_trim"):
        libc().malloc_trim(0)


def map_large_blocks() -> None:
    """Let blocks of memory from 1 MiB on be mapped one by one, so that each goes back when freed (glibc).

    Left alone, glibc takes ever larger blocks from its heap, and weights that are unpacked in all sizes leave
    holes in it: a sixth of the peak, measured with SD1.5 kept in bf16.
    """
    if hasattr(libc(), "mallopt"):
        libc().mallopt(_MMAP_THRESHOLD, _MIB)
