"""The column `seed`: one, none, several or a range."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from charaforge.requests.batch_columns import CellFault
from charaforge.requests.generation import MAX_SEED

_RANGE = re.compile(r"(-?\d+)\s*\.\.\s*(-?\d+)")


def seeds_of(value: Any, room: int) -> Iterator[int]:
    """Yield the seeds of a cell: none or -1 draws one, `100..199` are a hundred, `1|5` two.

    Args:
        value: the cell.
        room: how many are wanted at most.

    Raises:
        CellFault: it cannot be read.
    """
    if value is None or value == "":
        yield -1
        return
    parts = value if isinstance(value, list) else str(value).split("|")
    given = 0
    for part in parts:
        match = _RANGE.fullmatch(part.strip()) if isinstance(part, str) else None
        first = whole_number(match[1] if match else part, 0 if match else -1, "seed")
        last = whole_number(match[2], 0, "seed") if match else first
        if last < first:
            raise CellFault("seed", f"the range ends before it begins; write {last}..{first}")
        for seed in range(first, min(last, first + room - given) + 1):
            given += 1
            yield seed


def whole_number(value: Any, lowest: int, column: str) -> int:
    """Return the whole number of a cell, from `lowest` to MAX_SEED.

    Raises:
        CellFault: it is none.
    """
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"-?\d{1,12}", text):
        more = ", a range (100..199), or several (1|2|3)" if column == "seed" else ""
        raise CellFault(column, f"is no whole number{more}")
    if not lowest <= int(text) <= MAX_SEED:
        raise CellFault(column, f"is not between {lowest} and {MAX_SEED}")
    return int(text)
