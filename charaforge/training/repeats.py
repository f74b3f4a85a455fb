"""How often an epoch shows each picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from charaforge.training.sources import Record


def repeats(records: Sequence[Record], times: int, balance: bool) -> list[int]:
    """Return how often an epoch shows each picture.

    Args:
        records: the pictures that are trained on.
        times: how often each is shown, on top of what its folder says.
        balance: repeat the pictures of each outfit by the whole number that brings it nearest to the outfit
            that is shown most.
    """
    shown = [record.repeats * times for record in records]
    if not balance:
        return shown
    groups = [_outfit(record) for record in records]
    sums: Counter[str] = Counter()
    for group, count in zip(groups, shown, strict=True):
        sums[group] += count
    most = max(sums.values(), default=1)
    return [count * max(round(most / sums[group]), 1) for group, count in zip(groups, shown, strict=True)]


def _outfit(record: Record) -> str:
    """Return the outfit, or where none is named the folder, which holds one outfit as a rule."""
    return record.fields.get("outfit") or record.path.parent.name
