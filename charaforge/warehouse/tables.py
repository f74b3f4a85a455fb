"""Metadata tables: one row per picture, CSV or Parquet, columns as in the README's dataset schema."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from charaforge.errors import DatasetError, UsageError
from charaforge.warehouse.layout import Warehouse

COLUMNS = ("image_path", "character", "outfit", "pose_tag", "style", "tags", "source", "split", "notes")
"""Columns of a metadata table; tables that curation wrote have further ones behind them."""
TRAITS_NOTE = "traits: "
"""How the column `notes` begins where it lists the fixed traits, which the column `tags` leaves out; further
notes follow after a semicolon."""
UNKNOWN_POSE = "unknown"
"""The pose_tag of a picture whose pose could not be told."""


def is_usable(row: Mapping[str, str]) -> bool:
    """Return whether a row is a picture to work with, not a broken file or a copy of another picture."""
    return not row.get("error") and not row.get("dup_of")


def noted_traits(notes: str) -> tuple[str, ...]:
    """Return the fixed traits that a cell of the column `notes` lists."""
    if not notes.startswith(TRAITS_NOTE):
        return ()
    listed = notes.removeprefix(TRAITS_NOTE).split(";")[0]
    return tuple(tag.strip() for tag in listed.split(",") if tag.strip())


def table_rows(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table: column -> text, stripped; an empty cell is "".

    Raises:
        UsageError: the table is missing or of an unknown format.
        DatasetError: it cannot be read, or has no rows.
    """
    if not table.is_file():
        raise UsageError(f"there is no table {table}", "give the path of a CSV or Parquet file")
    if table.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"{table} is neither CSV nor Parquet", "metadata tables end in .csv or .parquet")
    rows = list(_csv_rows(table) if table.suffix.lower() == ".csv" else _parquet_rows(table))
    if not rows:
        raise DatasetError(f"{table} has no rows", "write one row per picture")
    return rows


def locate_picture(stored: str, table: Path, warehouse: Warehouse) -> Path:
    """Return the path that a table means: inside the warehouse first, then beside the table."""
    path = warehouse.locate(stored)
    beside = table.parent.resolve() / stored
    return beside if not path.exists() and beside.exists() else path


def _csv_rows(table: Path) -> Iterator[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            yield {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}


def _parquet_rows(table: Path) -> Iterator[dict[str, str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_table(table).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise DatasetError(f"{table} is not a Parquet file: {error}", "write it again") from error
    for row in rows:
        yield {key: "" if value is None else str(value).strip() for key, value in row.items()}
