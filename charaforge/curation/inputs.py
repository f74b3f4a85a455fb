"""What `--in` of a tool names: a folder of pictures, or a metadata table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from charaforge.curation.pictures import Found, find_pictures
from charaforge.curation.stage import Row, Stage, run_stage
from charaforge.errors import DatasetError, UsageError
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import locate_picture, table_rows


def inputs(source: Path, warehouse: Warehouse) -> list[Found]:
    """List the pictures of a folder (with subfolders) or of a table's column image_path, each once.

    Raises:
        UsageError: there is neither, or the table has no such column.
        DatasetError: there are no pictures in it.
    """
    if source.is_dir():
        found = find_pictures(source)
    elif source.is_file():
        found = [Found(path) for path in dict.fromkeys(_listed(source, warehouse))]
    else:
        raise UsageError(f"there is no {source}", "give a folder of pictures or a metadata table")
    if not found:
        raise DatasetError(f"there are no pictures in {source}", "give the folder that holds them")
    return found


def run_on(stage: Stage, found: Sequence[Found], cache: Path) -> dict[Path, Row]:
    """Run a stage over what was listed; what cannot be taken gets a row with its error, in its place."""
    rows = run_stage(stage, [one.path for one in found if not one.error], cache)
    return {one.path: rows.get(one.path, {"sha256": "", "error": one.error}) for one in found}


def _listed(table: Path, warehouse: Warehouse) -> list[Path]:
    rows = table_rows(table)
    if "image_path" not in rows[0]:
        raise UsageError(f"{table} has no column image_path", "it tells where the pictures are")
    return [locate_picture(row["image_path"], table, warehouse) for row in rows]
