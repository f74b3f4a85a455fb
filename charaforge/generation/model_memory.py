"""How much memory kept models may take, and which of them goes when another needs room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import torch

from charaforge.config.settings import model_memory
from charaforge.logs import get_logger

T = TypeVar("T")
_SHARE = 0.6  # of what is free; the rest is for the work itself
logger = get_logger(__name__)


class Kept(Generic[T]):
    """Models in memory by name; those used longest ago go when the budget is full.

    Args:
        size: returns the bytes that a model takes now.
        budget: returns the bytes that all may take together, given what those held take.
    """

    def __init__(self, size: Callable[[T], int], budget: Callable[[int], int]) -> None:
        self._size = size
        self._budget = budget
        self._held: dict[str, T] = {}  # the one used last at the end

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, the one used longest ago first."""
        return iter(list(self._held))

    def get(self, name: str) -> T | None:
        """Return a model and count it as used; None when it is not held."""
        if name in self._held:
            self._held[name] = self._held.pop(name)
        return self._held.get(name)

    def make_room(self, needed: int, last: frozenset[str] = frozenset()) -> None:
        """Let models go until `needed` bytes more fit, those named in `last` only when no others are left."""
        order = sorted(self._held, key=lambda name: name in last)
        total = sum(self._size(model) for model in self._held.values())
        limit = self._budget(total)
        for name in order:
            if total + needed <= limit:
                return
            total -= self._size(self._held[name])
            logger.info("%s is let go to make room in memory", name)
            self.drop(name)

    def put(self, name: str, model: T) -> None:
        """Hold a model."""
        self._held[name] = model

    def drop(self, name: str) -> None:
        """Let a model go."""
        self._held.pop(name, None)


def budget_on(device: torch.device) -> Callable[[int], int]:
    """Return what `Kept` asks: `MODEL_MEMORY_GB`, else a share of what is free or already held."""

    def budget(held: int) -> int:
        told = model_memory()
        return int(_SHARE * (free_memory(device) + held)) if told is None else told

    return budget


def free_memory(device: torch.device) -> int:
    """Return the bytes that can be had on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 8 * 2**30  # a system that does not tell
    told = next(line for line in lines if line.startswith("MemAvailable:"))
    return int(told.split()[1]) * 1024
