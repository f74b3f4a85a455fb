"""Groups of bounded size, so that a thousand pictures never lie in memory as floats at once."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

BATCH = 32


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    """Consecutive slices of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
