"""A dataset in the warehouse: its folder of stages, its table, and how the one becomes the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.curation import look, pose, report
from charaforge.curation.merge import Found, columns, merge
from charaforge.curation.sources import Import
from charaforge.curation.table import (
    Row,
    read_parquet,
    read_stage,
    read_summary,
    update_summary,
    write_csv,
    write_parquet,
)
from charaforge.errors import UsageError
from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.layout import Warehouse

DEDUPE, TAG = "dedupe", "tag"


@dataclass(frozen=True)
class Dataset:
    """Where everything of one dataset lies.

    Attributes:
        name: of its table and folder.
        warehouse: the warehouse.
    """

    name: str
    warehouse: Warehouse

    @property
    def folder(self) -> Path:
        """Tables of the stages, pose maps, summary."""
        return self.warehouse.processed / self.name

    @property
    def cache(self) -> Path:
        """What the stages remember; may be deleted at any time."""
        return self.folder / "cache"

    @property
    def table(self) -> Path:
        """The table that trainers read; its flat view lies beside it as CSV."""
        return self.warehouse.metadata / f"{self.name}.parquet"


def dataset_name(character: str, name: str | None = None) -> str:
    """Return the name of a character's dataset: `name`, else the character's, without spaces and signs.

    Raises:
        UsageError: nothing is left of it.
    """
    told = re.sub(r"[^\w-]+", "_", name or character).strip("_")
    if not told:
        raise UsageError(f"{name or character!r} cannot be a file name", "give one with --name")
    return told


def write_table(dataset: Dataset, imported: Import) -> dict[str, Any]:
    """Merge what the stages wrote, write the table and its CSV, and return the validation report.

    The report is written to `<folder>/validation.json` as well.
    """
    found = Found(
        read_stage(dataset.folder, look.NAME),
        read_stage(dataset.folder, DEDUPE),
        read_stage(dataset.folder, TAG),
        read_stage(dataset.folder, pose.NAME),
        _traits(dataset.folder),
    )
    rows = merge(imported.pictures, found, dataset.warehouse, _splits_before(dataset))
    names = columns(rows)
    write_parquet(dataset.table, rows, names)
    write_csv(dataset.table.with_suffix(".csv"), rows, names)
    told = report.validate(rows, imported.problems)
    write_json(dataset.folder / "validation.json", told)
    update_summary(dataset.folder, "merge", {key: told[key] for key in told if key != "findings"})
    return told


def _splits_before(dataset: Dataset) -> dict[str, str]:
    """Return sha256 -> split of the table that is there already."""
    if not dataset.table.is_file():
        return {}
    rows: Sequence[Row] = read_parquet(dataset.table)
    return {row["sha256"]: row["split"] for row in rows if row.get("sha256") and row.get("split")}


def _traits(folder: Path) -> dict[str, list[str]]:
    """Return character -> tags that tagging found to belong to it, by its summary."""
    traits = read_summary(folder).get(TAG, {}).get("traits", {})
    return {character: [one["tag"] for one in found] for character, found in traits.items()}
