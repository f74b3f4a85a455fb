"""Where pictures and their words come from: a metadata table, or a folder with caption files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from charaforge.errors import DatasetError, UnknownNameError, UsageError
from charaforge.training.pictures import SUFFIXES
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import UNKNOWN_POSE, is_usable, locate_picture, table_rows

CAPTION_SUFFIXES = (".txt", ".caption")
SPLITS = ("train", "val", "ref", "calib")


@dataclass(frozen=True)
class Record:
    """One picture as its source describes it, not looked at yet.

    Attributes:
        path: absolute path of the picture.
        tags: comma-separated tags.
        fields: character, outfit, style, pose_tag, as far as given.
        split: "train", "val", "ref" or "calib".
    """

    path: Path
    tags: str
    fields: Mapping[str, str]
    split: str = "train"


@dataclass
class Listing:
    """What a source lists.

    Attributes:
        records: pictures that have words.
        problems: what was left out, with the reason, one line each.
    """

    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_folder(folder: Path, character: str) -> Listing:
    """List the pictures of a folder and its subfolders, each with the words of the caption file beside it.

    Args:
        folder: pictures with `NAME.txt` or `NAME.caption` beside `NAME.png`.
        character: value of the field [character].

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "give the folder that holds the pictures")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not _hidden(p.relative_to(folder)))
    captions = {p.with_suffix(""): p for p in reversed(files) if p.suffix.lower() in CAPTION_SUFFIXES}
    listing = Listing()
    for path in (p for p in files if p.suffix.lower() in SUFFIXES):
        caption = captions.pop(path.with_suffix(""), None)
        if caption is None:
            listing.problems.append(f"{path}: no caption ({path.stem}.txt is missing)")
        elif not (words := caption.read_text(encoding="utf-8-sig", errors="replace").strip()):
            listing.problems.append(f"{path}: its caption file {caption.name} is empty")
        else:
            listing.records.append(Record(path.resolve(), words, {"character": character}))
    listing.problems += [f"{path}: a caption without a picture" for path in sorted(captions.values())]
    return listing


def read_table(table: Path, warehouse: Warehouse, tag_field: str, character: str) -> Listing:
    """List the rows of a metadata table.

    Args:
        table: CSV or Parquet with the column image_path and, as far as needed, character, outfit, pose_tag,
            style, tags, split. Paths are relative to the warehouse, or to the table, or absolute. Rows with
            an error, or that curation found to be copies of another picture, are left out.
        warehouse: for the relative paths.
        tag_field: name of the column of tags.
        character: only rows of this character; "" takes all.

    Raises:
        UsageError: the table is missing or of an unknown format.
        UnknownNameError: a column is missing, or nothing in the table is called `character`.
        DatasetError: the table has no rows, or mixes characters and none was chosen.
    """
    rows = table_rows(table)
    for column in ("image_path", tag_field):
        if column not in rows[0]:
            raise UnknownNameError(f"column of {table.name}", column, rows[0])
    listing = Listing()
    chosen = _rows_of_character(rows, table, character)
    if unusable := sum(not is_usable(row) for _, row in chosen):
        listing.problems.append(f"{table}: {unusable} rows are copies of other pictures or have an error")
    for number, row in chosen:
        if not is_usable(row):
            continue
        split = row.get("split") or "train"
        path = locate_picture(row["image_path"], table, warehouse)
        if split not in SPLITS:
            known = ", ".join(SPLITS)
            listing.problems.append(f"{path}: row {number} has split {split!r}, which is none of {known}")
        elif split in ("train", "val"):
            pose = {"pose_tag": ""} if row.get("pose_tag") == UNKNOWN_POSE else {}
            listing.records.append(Record(path, row[tag_field], row | pose, split))
    return listing


def _rows_of_character(
    rows: list[dict[str, str]], table: Path, character: str
) -> list[tuple[int, dict[str, str]]]:
    """Return the numbered rows of one character; the head of a table is row 1."""
    numbered = list(enumerate(rows, start=2))
    names = sorted({row.get("character", "") for row in rows} - {""})
    if not names:
        return [(number, row | {"character": character}) for number, row in numbered]
    if character and character not in names:
        raise UnknownNameError(f"character of {table.name}", character, names)
    if not character and len(names) > 1:
        raise DatasetError(
            f"{table} mixes {len(names)} characters: {', '.join(names[:8])}",
            "say which one with the key character",
        )
    return [(number, row) for number, row in numbered if not character or row.get("character") == character]


def _hidden(path: Path) -> bool:
    return bool(re.search(r"(^|/)\.", path.as_posix()))
