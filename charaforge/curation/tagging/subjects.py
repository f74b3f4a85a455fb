"""What is tagged: pictures with the character that they show and the words that somebody gave them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charaforge.curation.inputs import inputs
from charaforge.curation.pictures import Found
from charaforge.curation.sources import Told, read_sources
from charaforge.curation.tagging.sidecars import read_sidecars, split_tags
from charaforge.errors import DatasetError
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import locate_picture, table_rows


@dataclass(frozen=True)
class Subject:
    """One picture.

    Attributes:
        found: where it is, and why it cannot be taken.
        character: whom it shows; "" where nobody told.
        words: tags that lie beside it, with spaces.
    """

    found: Found
    character: str = ""
    words: tuple[str, ...] = ()


def read_subjects(source: Path, character: str, warehouse: Warehouse) -> list[Subject]:
    """List what is to be tagged.

    Args:
        source: a folder, as `charaforge merge` imports it, or a metadata table, whose column `character` is
            read, and beside whose pictures words may lie.
        character: of all pictures; "" leaves it to folder or table.
        warehouse: for relative paths in tables.

    Raises:
        UsageError: there is neither a folder nor a table.
        DatasetError: there are no pictures in it.
    """
    subjects = _in_folder(source, character, warehouse) if source.is_dir() else _in_table(source, warehouse)
    if not subjects:
        raise DatasetError(f"there are no pictures in {source}", "give the folder that holds them")
    if character:
        return [Subject(one.found, character, one.words) for one in subjects]
    return subjects


def _in_folder(folder: Path, character: str, warehouse: Warehouse) -> list[Subject]:
    listed = read_sources(folder, Told(character=character), warehouse)
    return [
        Subject(Found(one.path, one.error), one.told.character, tuple(split_tags(one.caption)))
        for one in listed.pictures
    ]


def _in_table(table: Path, warehouse: Warehouse) -> list[Subject]:
    found = inputs(table, warehouse)
    characters = {
        locate_picture(row["image_path"], table, warehouse): row.get("character", "")
        for row in table_rows(table)
    }
    words = read_sidecars(one.path for one in found if not one.error)
    return [Subject(one, characters.get(one.path, ""), tuple(words.get(one.path, ()))) for one in found]
