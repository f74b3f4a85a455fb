"""Tables that lie among the pictures: Hugging Face's imagefolder, and our own.

A `metadata.csv`, `metadata.jsonl` or `metadata.parquet` tells of pictures in its folder and below, each by
`file_name` relative to it (imagefolder), or by `image_path` as our own tables do.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charaforge.curation.table import absolute, read_parquet
from charaforge.errors import DatasetError
from charaforge.warehouse.layout import Warehouse

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass
class Metadata:
    """What the tables tell.

    Attributes:
        rows: absolute path of a picture -> its row.
        origin: absolute path of a picture -> the table that lists it.
        problems: what is wrong with the tables, one line each.
    """

    rows: dict[Path, dict[str, Any]] = field(default_factory=dict)
    origin: dict[Path, Path] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_metadata(folders: Iterable[Path], warehouse: Warehouse) -> Metadata:
    """Read the tables of these folders; a deeper folder's table wins.

    Args:
        folders: where to look.
        warehouse: for the relative paths of our own tables.
    """
    metadata = Metadata()
    for folder in sorted(folders):
        for table in (folder / name for name in NAMES):
            if table.is_file():
                _add(metadata, table, warehouse)
    return metadata


def _add(metadata: Metadata, table: Path, warehouse: Warehouse) -> None:
    try:
        rows = list(_rows(table, metadata.problems))
    except (OSError, ValueError, csv.Error, DatasetError) as error:
        metadata.problems.append(f"{table} cannot be read: {error}")
        return
    for number, row in enumerate(rows, start=1):
        path = _picture(row, table, warehouse)
        if path is None:
            metadata.problems.append(f"{table}: row {number} has neither file_name nor image_path")
        else:
            metadata.rows[path] = row
            metadata.origin[path] = table


def _picture(row: dict[str, Any], table: Path, warehouse: Warehouse) -> Path | None:
    name, stored = row.get("file_name"), row.get("image_path")
    if isinstance(name, str) and name:
        return absolute(table.parent / name)
    if not isinstance(stored, str) or not stored:
        return None
    inside = warehouse.locate(stored)
    return absolute(inside if inside.exists() else table.parent / stored)


def _rows(table: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    if table.suffix == ".parquet":
        yield from read_parquet(table)
        return
    text = table.read_bytes().decode("utf-8-sig", "replace")
    if table.suffix == ".csv":
        for row in csv.DictReader(io.StringIO(text, newline="")):
            yield {key: value for key, value in row.items() if isinstance(key, str)}
        return
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            problems.append(f"{table}: line {number} is not JSON")
            continue
        if isinstance(value, dict):
            yield value
