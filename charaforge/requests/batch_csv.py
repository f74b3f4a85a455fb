"""CSV as spreadsheets of all countries write it: its encoding and separator are found, rows are streamed."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from charaforge.errors import UsageError, suggestion
from charaforge.requests.batch_columns import own_name
from charaforge.requests.batch_faults import Faults, is_formula, plain_cell

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_CHUNK = 2**20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        encoding: Python's name of it.
        separator: one of SEPARATORS.
        skip: lines before the header (`sep=;`).
    """

    encoding: str
    separator: str
    skip: int = 0


def find_encoding(stream: BinaryIO) -> str:
    """Return the encoding of a text: UTF-8, UTF-16, Shift-JIS (cp932) or cp1252. The stream is rewound.

    What is no UTF-8 is taken for Shift-JIS where it decodes and most of its two-byte characters end in a byte
    that Latin text hardly has there; else for cp1252.
    """
    stream.seek(0)
    start = stream.read(4096)
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    zeros = [start[place::2].count(0) for place in (0, 1)]
    if max(zeros) > len(start) // 8:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    if _decodes(stream, "utf-8"):
        return "utf-8"
    return "cp932" if _decodes(stream, "cp932") and _looks_japanese(stream) else "cp1252"


def find_dialect(stream: BinaryIO, columns: Sequence[str]) -> Dialect:
    """Return how a CSV file is written; the separator is the one that splits the header best.

    Args:
        stream: the file; it is rewound.
        columns: names that a header may have.
    """
    encoding = find_encoding(stream)
    stream.seek(0)
    head = stream.read(65536).decode(encoding, "replace").lstrip("\ufeff")
    lines = head.splitlines() or [""]
    declared = lines[0].strip().strip('"').lower()
    if declared.startswith("sep=") and declared[4:] in SEPARATORS:
        return Dialect(encoding, declared[4:], skip=1)
    found = {mark: _known(lines[0], mark, columns) for mark in SEPARATORS}
    return Dialect(encoding, max(found, key=lambda mark: (found[mark], lines[0].count(mark))))


def column_name(told: str) -> str:
    """Return the name that a header cell means: case, spaces and `-` do not count."""
    return told.strip().lower().replace(" ", "_").replace("-", "_")


def rows(stream: BinaryIO, dialect: Dialect, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and cells of every row that is not empty; the header is row 1.

    What cannot be read as CSV becomes a fault.
    """
    stream.seek(0)
    text = io.TextIOWrapper(stream, dialect.encoding, errors="replace", newline="")
    try:
        for _ in range(dialect.skip):
            text.readline()
        reader = csv.reader(text, delimiter=dialect.separator, strict=True, skipinitialspace=True)
        number = 0
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                faults.add(number, "", _told(str(error)))
                continue
            if any(cell.strip() for cell in cells):
                yield number, cells
    finally:
        text.detach()


def header(cells: Sequence[str], columns: Sequence[str], faults: Faults) -> list[str]:
    """Return the columns of a header row; unknown ones and double ones become faults."""
    names = [column_name(cell.lstrip("\ufeff")) for cell in cells]
    own = [own_name(name) for name in names]
    for place, name in enumerate(names):
        if name and name not in columns:
            faults.add(1, cells[place].strip(), f"unknown column; {suggestion(name, columns)}")
        if name and own[place] in own[:place]:
            faults.add(1, name, "the column is there twice; give it one name")
    return names


def cells_of(
    number: int, cells: Sequence[str], names: Sequence[str], faults: Faults
) -> dict[str, str] | None:
    """Return the cells of a row by column, empty ones left out; None where the row has faults."""
    found: dict[str, str] = {}
    sound = True
    told = dict(zip(names, cells, strict=False))
    for place, cell in enumerate(cells):
        if not cell.strip():
            continue
        if place >= len(names) or not names[place]:
            message = "a value beyond the columns; put text that holds separators into quotes"
            faults.refuse(number, told, "", message)
            sound = False
        elif "\ufffd" in cell:
            message = "holds bytes that are no text in the encoding of the file; save the file as UTF-8"
            faults.refuse(number, told, names[place], message)
            sound = False
        elif is_formula(cell):
            faults.refuse(number, told, names[place], "a formula is no value; write what it stands for")
            sound = False
        else:
            found[names[place]] = plain_cell(cell.strip())
    return found if sound else None


def count_rows(stream: BinaryIO, dialect: Dialect) -> int:
    """Return how many rows a file has below its header."""
    return max(0, sum(1 for _ in rows(stream, dialect, Faults())) - 1)


def need_text(stream: BinaryIO) -> None:
    """Refuse what is no text at all, e.g. an Excel workbook.

    Raises:
        UsageError: with what to do.
    """
    stream.seek(0)
    start = stream.read(8)
    if not start.strip():
        raise UsageError("the file is empty", "a batch file has a header row and a row for each picture")
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UsageError("the file is an Excel workbook or an archive", "save it as CSV (UTF-8)")
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"%PDF", b"\x1f\x8b")):
        raise UsageError("the file is no text", "give a CSV or JSON file")


def _decodes(stream: BinaryIO, encoding: str) -> bool:
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while chunk := stream.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        stream.seek(0)
    return True


def _looks_japanese(stream: BinaryIO) -> bool:
    """Return whether kana, or characters whose second byte is no letter, are most of what is not ASCII."""
    stream.seek(0)
    text = codecs.getincrementaldecoder("cp932")().decode(stream.read(_CHUNK))
    stream.seek(0)
    other = [sign for sign in text if ord(sign) > 127]
    likely = sum("\u3000" <= sign <= "\u30ff" or _second_byte(sign) >= 0x80 for sign in other)
    return 2 * likely > len(other)


def _second_byte(sign: str) -> int:
    data = sign.encode("cp932")
    return data[1] if len(data) == 2 else 0


def _known(line: str, separator: str, columns: Sequence[str]) -> int:
    try:
        cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return 0
    return sum(column_name(cell) in columns for cell in cells)


def _told(message: str) -> str:
    if "unexpected end" in message or "field limit" in message:
        return "a quote is opened and never closed; close it, or double a quote that is meant as text"
    if "expected after" in message:
        return 'text stands behind a closing quote; double a quote that is meant as text: ""'
    return f"this is no CSV: {message}"
