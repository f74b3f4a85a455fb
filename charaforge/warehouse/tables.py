"""Metadata tables: one row per picture, CSV or Parquet, columns as in the README's dataset schema."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from charaforge.errors import DatasetError, UsageError
from charaforge.warehouse.layout import Warehouse

TRAITS_NOTE = "traits: "
"""How the column `notes` begins where it lists the fixed traits, which the column `tags` leaves out."""


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
