"""What is wrong with a batch file: each fault with its row and column, and the refused rows as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAX_KEPT = 10_000  # faults that are kept in full; further ones are counted
MAX_SHOWN = 80  # characters of a value
REASON = "reason"
_FORMULA = re.compile(r"\s*[=+\-@]\s*[A-Za-z_][\w.]*\s*(\(|\|\s*')")
_RISKY = re.compile(r"^\s*[=+\-@\t\r]")


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        row: as a spreadsheet counts, the header being row 1; of JSON the item, from 1; 0 = the file itself.
        column: its name; "" = the whole row.
        message: what is wrong, and what to do.
        value: the cell, shortened.
    """

    row: int
    column: str
    message: str
    value: str = ""

    def __str__(self) -> str:
        where = [f"row {self.row}"] if self.row else []
        where += [f"column {self.column!r}"] if self.column else []
        shown = f", got {self.value!r}" if self.value else ""
        return f"{', '.join(where) or 'the file'}: {self.message}{shown}"


@dataclass
class Faults:
    """The faults of one file.

    Attributes:
        listed: the first MAX_KEPT.
        count: all of them.
        refused: rows with faults: number -> cells and reasons.
    """

    listed: list[Fault] = field(default_factory=list)
    count: int = 0
    refused: dict[int, tuple[Mapping[str, object], list[str]]] = field(default_factory=dict)
    _general: list[Fault] = field(default_factory=list)
    _seen: set[tuple[int, str, str]] = field(default_factory=set)

    def add(self, row: int, column: str, message: str, value: object = "") -> None:
        """Add a fault of the file; the same one of the same row counts once."""
        if len(self._general) < MAX_KEPT:
            self._general.append(Fault(row, printable(column), printable(message), shortened(value)))
        self._count(row, column, message, value)

    def _count(self, row: int, column: str, message: str, value: object) -> None:
        column, message = printable(column), printable(message)
        key = (row, column, message)
        if key in self._seen:
            return
        if len(self._seen) < 10 * MAX_KEPT:
            self._seen.add(key)
        self.count += 1
        if len(self.listed) < MAX_KEPT:
            self.listed.append(Fault(row, column, message, shortened(value)))

    def refuse(self, row: int, cells: Mapping[str, object], column: str, message: str) -> None:
        """Add a fault of a row, and keep the row to be given back."""
        value = cells.get(column, "")
        self._count(row, column, message, value)
        reasons = self.refused.setdefault(row, (cells, []))[1]
        reason = f"{column}: {message}" if column else message
        if reason not in reasons:
            reasons.append(reason)

    @property
    def of_the_file(self) -> list[Fault]:
        """The faults that concern the file as a whole, which no row can be taken without."""
        return [fault for fault in self._general if fault.row not in self.refused]


def refused_csv(columns: Sequence[str], faults: Faults) -> str:
    """Return the refused rows as CSV, with their reasons in a last column.

    Cells that a spreadsheet would run as formulas get an apostrophe in front; `plain_cell` takes it off
    again, so that the mended file can be submitted as it is.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow([*columns, REASON])
    for cells, reasons in faults.refused.values():
        row = [*(_written(cells.get(column, "")) for column in columns), "; ".join(reasons)]
        writer.writerow([safe_cell(cell) for cell in row])
    return printable(stream.getvalue())


def _written(value: object) -> str:
    """Return a value as a cell says it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_formula(cell: str) -> bool:
    """Return whether a cell calls a function of a spreadsheet, as `=HYPERLINK(…)` or `=cmd|'…'` does."""
    return cell.lstrip()[:1] in ("=", "+", "-", "@") and _FORMULA.match(cell) is not None


def safe_cell(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _RISKY.match(cell) and not _is_number(cell) else cell


def plain_cell(cell: str) -> str:
    """Return what `safe_cell` was given."""
    return cell[1:] if cell[:1] == "'" and _RISKY.match(cell[1:]) else cell


def printable(text: str) -> str:
    """Return a text without halves of characters, which JSON can name and no encoding can write."""
    return text.encode("utf-8", "backslashreplace").decode()


def shortened(value: object) -> str:
    """Return a value as a fault shows it."""
    text = printable(str(value))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
