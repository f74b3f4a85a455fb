"""A batch file, CSV or JSON, into items that can be queued, and everything that is wrong with it.

batch = read_batch(stream, "jobs.csv", names, limit)
batch.items, batch.faults.listed             # faults of every row, found before anything is queued
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from charaforge.errors import UsageError
from charaforge.requests import batch_csv
from charaforge.requests.batch_columns import COLUMNS, IGNORED, own_name
from charaforge.requests.batch_document import MAX_BYTES, REPLACE, read_document, rows_of
from charaforge.requests.batch_faults import Faults, refused_csv
from charaforge.requests.batch_rows import BatchItem, Names, Reader


@dataclass
class Batch:
    """What a batch file asks for.

    Attributes:
        items: one picture each, in the order of the rows.
        faults: what is wrong with it.
        columns: those of the file.
        read_as: how it was read, e.g. "CSV, utf-8, semicolon".
        score: whether pictures shall be scored.
        partial: whether sound rows shall be queued beside faulty ones.
    """

    items: list[BatchItem] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    columns: Sequence[str] = ()
    read_as: str = ""
    score: bool = False
    partial: bool = False

    def refused(self) -> str:
        """Return the faulty rows with their reasons, as CSV."""
        left_out = ("", IGNORED, REPLACE)  # its words stand in the prompt
        return refused_csv([name for name in self.columns if name not in left_out], self.faults)


def read_batch(stream: BinaryIO, file_name: str, names: Names, limit: int) -> Batch:
    """Read a batch file whole; what is wrong with it is listed, not raised.

    Args:
        stream: the file, seekable.
        file_name: what it is called; `.json` decides, else its first character does.
        names: what requests may name.
        limit: how many pictures it may ask for.
    """
    batch = Batch()
    try:
        batch_csv.need_text(stream)
    except UsageError as error:
        batch.faults.add(0, "", f"{error.message}; {error.hint}")
        return batch
    reader = Reader(names, batch.faults, limit)
    rows = (
        _json_rows(stream, batch, limit) if _is_json(stream, file_name) else _csv_rows(stream, batch, reader)
    )
    for number, cells in rows:
        batch.items.extend(reader.items(number, cells))
        if reader.count > limit:
            _too_many(stream, batch, limit)
            break
    if not batch.items and not batch.faults.count:
        batch.faults.add(0, "", "there are no rows; write one for each picture")
    return batch


def _is_json(stream: BinaryIO, file_name: str) -> bool:
    stream.seek(0)
    start = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    named = file_name.lower()
    return named.endswith(".json") or (
        not named.endswith((".csv", ".tsv", ".txt")) and start[:1] in (b"{", b"[")
    )


def _json_rows(stream: BinaryIO, batch: Batch, limit: int) -> Iterator[tuple[int, dict[str, Any]]]:
    stream.seek(0)
    data = stream.read(MAX_BYTES + 1)
    batch.read_as = "JSON"
    if len(data) > MAX_BYTES:
        batch.faults.add(
            0, "", f"JSON of more than {MAX_BYTES // 2**20} MiB; send CSV, which is read row by row"
        )
        return
    document = read_document(data, batch.faults)
    if document is None:
        return
    batch.score, batch.partial = document.score, document.partial
    keys = [document.defaults, *document.items, document.axes]
    batch.columns = list(dict.fromkeys(own_name(name) for told in keys for name in told))
    yield from rows_of(document, batch.faults, limit)


def _csv_rows(stream: BinaryIO, batch: Batch, reader: Reader) -> Iterator[tuple[int, dict[str, Any]]]:
    dialect = batch_csv.find_dialect(stream, COLUMNS)
    batch.read_as = f"CSV, {dialect.encoding}, {batch_csv.SEPARATORS[dialect.separator]}"
    rows = batch_csv.rows(stream, dialect, batch.faults)
    first = next(rows, None)
    if first is None:
        return
    batch.columns = batch_csv.header(first[1], COLUMNS, batch.faults)
    if "prompt" not in batch.columns:
        hint = f"the first row names the columns, for example {', '.join(COLUMNS[:8])}"
        batch.faults.add(1, "prompt", f"the column is missing; {hint}")
    if batch.faults.count:
        return
    for seen, (number, cells) in enumerate(rows):
        if seen == reader.limit:  # sound or not: what is refused has to be kept, too
            _too_many(stream, batch, reader.limit)
            return
        found = batch_csv.cells_of(number, cells, batch.columns, batch.faults)
        if found is not None:
            yield number, found


def _too_many(stream: BinaryIO, batch: Batch, limit: int) -> None:
    """Say that there are more pictures than a batch may have; none is queued."""
    told = f"more than {limit:,} pictures"
    if batch.read_as.startswith("CSV"):
        rows = batch_csv.count_rows(stream, batch_csv.find_dialect(stream, COLUMNS))
        told = f"{rows:,} rows, {told}"
    batch.items.clear()
    batch.faults.add(0, "", f"{told}: split the file, or raise BATCH_MAX_ITEMS where the service runs")
