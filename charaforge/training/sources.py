"""Where pictures and their words come from: a metadata table, or a folder with caption files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from charaforge.errors import DatasetError, UnknownNameError, UsageError
from charaforge.training.pictures import SUFFIXES
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import UNKNOWN_POSE, is_usable, locate_picture, table_rows

CAPTION_SUFFIXES = (".txt", ".caption")
SPLITS = ("train", "val", "ref", "calib")
TABLES = ("metadata.parquet", "metadata.csv")
_REPEATS = re.compile(r"(\d+)_(.+)")


@dataclass(frozen=True)
class Record:
    """One picture as its source describes it, not looked at yet.

    Attributes:
        path: absolute path of the picture.
        tags: comma-separated tags.
        fields: character, outfit, style, pose_tag, as far as given.
        split: "train", "val", "ref" or "calib".
        repeats: how often its folder says that it is to be shown.
    """

    path: Path
    tags: str
    fields: Mapping[str, str]
    split: str = "train"
    repeats: int = 1


@dataclass(frozen=True)
class LeftOut:
    """A file that is not trained on.

    Attributes:
        path: the file.
        reason: why.
        wordless: whether that is for want of a caption only.
    """

    path: Path
    reason: str
    wordless: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass
class Listing:
    """What a source lists.

    Attributes:
        records: pictures that have words.
        left_out: what has none, or is of no use.
        notes: what was understood in a way that should be told, one line each.
    """

    records: list[Record] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_source(
    table: Path | None,
    folder: Path | None,
    warehouse: Warehouse,
    tag_field: str,
    character: str,
    mixed: bool = False,
) -> Listing:
    """List the pictures of a table or of a folder; a folder that holds a table is read by it.

    Raises:
        UsageError, UnknownNameError, DatasetError: see `read_folder`, `read_table`.
    """
    if table is None and folder is not None:
        table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is not None:
        return read_table(table, warehouse, tag_field, character, mixed)
    assert folder is not None
    return read_folder(folder, character)


def read_folder(folder: Path, character: str) -> Listing:
    """List the pictures of a folder and its subfolders, each with the words of the caption file beside it.

    In a folder called `10_name`, as kohya's trainers have them, each picture is repeated ten times, and one
    without a caption file is called `name`.

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
    listing, used = Listing(), []
    for path in (p for p in files if p.suffix.lower() in SUFFIXES):
        repeats, name = _repeats(path.parent, folder)
        caption = captions.get(path.with_suffix(""))
        used.append(caption)
        words = caption.read_text(encoding="utf-8-sig", errors="replace").strip() if caption else name
        if words:
            listing.records.append(Record(path.resolve(), words, {"character": character}, repeats=repeats))
        elif caption is None:
            listing.left_out.append(LeftOut(path, f"no caption ({path.stem}.txt is missing)", wordless=True))
        else:
            listing.left_out.append(LeftOut(path, f"its caption file {caption.name} is empty", wordless=True))
    unused = sorted(set(captions.values()) - set(used))
    listing.left_out += [LeftOut(path, "a caption without a picture") for path in unused]
    listing.notes += _folder_notes(listing.records, [path for path in used if path], folder)
    return listing


def _repeats(place: Path, root: Path) -> tuple[int, str]:
    """Return repeats and name that a folder's own name tells; (1, "") where it tells none."""
    found = _REPEATS.fullmatch(place.name)
    if found is None or not place.is_relative_to(root):
        return 1, ""
    return max(int(found[1]), 1), found[2].strip()


def _folder_notes(records: Sequence[Record], captions: Sequence[Path], root: Path) -> Iterator[str]:
    """Yield what of a folder was understood by its names alone."""
    old = sum(path.suffix.lower() == ".caption" for path in captions)
    if old:
        yield f"{old} captions are read from .caption files; where a .txt lies beside, it is taken instead"
    for place in sorted({record.path.parent for record in records}):
        repeats, name = _repeats(place, root.resolve())
        if not name:
            continue
        mine = [record for record in records if record.path.parent == place]
        unnamed = sum(not any(r.path.with_suffix(s).is_file() for s in CAPTION_SUFFIXES) for r in mine)
        told = f"; {unnamed} of them have no caption and are called {name!r}" if unnamed else ""
        yield f"{place.name}: {len(mine)} pictures, each repeated {repeats} times{told}"


def read_table(
    table: Path, warehouse: Warehouse, tag_field: str, character: str, mixed: bool = False
) -> Listing:
    """List the rows of a metadata table.

    Args:
        table: CSV or Parquet with the column image_path and, as far as needed, character, outfit, pose_tag,
            style, tags, split. Paths are relative to the warehouse, or to the table, or absolute. Rows with
            an error, or that curation found to be copies of another picture, are left out.
        warehouse: for the relative paths.
        tag_field: name of the column of tags.
        character: only rows of this character; "" takes all.
        mixed: whether all may be those of several characters, as for a style.

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
    chosen = _rows_of_character(rows, table, character, mixed)
    if unusable := sum(not is_usable(row) for _, row in chosen):
        told = f"{unusable} rows are copies of other pictures or have an error"
        listing.left_out.append(LeftOut(table, told))
    for number, row in chosen:
        if not is_usable(row):
            continue
        split = row.get("split") or "train"
        path = locate_picture(row["image_path"], table, warehouse)
        if split not in SPLITS:
            told = f"row {number} has split {split!r}, which is none of {', '.join(SPLITS)}"
            listing.left_out.append(LeftOut(path, told))
        elif split in ("train", "val"):
            pose = {"pose_tag": ""} if row.get("pose_tag") == UNKNOWN_POSE else {}
            listing.records.append(Record(path, row[tag_field], row | pose, split))
    return listing


def as_prior(listing: Listing) -> Listing:
    """Return a regularisation set: all of it is trained on, with its own words and no trigger."""
    records = [replace(record, split="train", fields={}, repeats=1) for record in listing.records]
    return Listing(records, listing.left_out, listing.notes)


def _rows_of_character(
    rows: list[dict[str, str]], table: Path, character: str, mixed: bool
) -> list[tuple[int, dict[str, str]]]:
    """Return the numbered rows of one character; the head of a table is row 1."""
    numbered = list(enumerate(rows, start=2))
    names = sorted({row.get("character", "") for row in rows} - {""})
    if not names:
        return [(number, row | {"character": character}) for number, row in numbered]
    if character and character not in names:
        raise UnknownNameError(f"character of {table.name}", character, names)
    if not character and len(names) > 1 and not mixed:
        raise DatasetError(
            f"{table} mixes {len(names)} characters: {', '.join(names[:8])}",
            "say which one with the key character; a caption_template without [character] takes all of them",
        )
    return [(number, row) for number, row in numbered if not character or row.get("character") == character]


def _hidden(path: Path) -> bool:
    return bool(re.search(r"(^|/)\.", path.as_posix()))
