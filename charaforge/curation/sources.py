"""Importing: what a folder tells of its pictures by its names, and by the files in it.

Plain folders (a subfolder is an outfit), kohya's `N_name` folders (N repeats), captions beside the pictures,
and metadata tables among them may be mixed; where several tell, tables go before captions, captions before
names of folders, and those before what is given for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from charaforge.curation.captions import Words, caption_of, words_beside
from charaforge.curation.metadata import Metadata, read_metadata
from charaforge.curation.pictures import Found, find_pictures, shown
from charaforge.curation.table import absolute
from charaforge.errors import UsageError
from charaforge.warehouse.layout import Warehouse

_KOHYA = re.compile(r"(\d{1,4})_(.+)")
_PIXIV = re.compile(r"(?:illust_)?(\d{6,10})_p\d+")
_NO_OUTFIT = re.compile(
    r"(train(ing)?|test|val(idation)?|dev|im(a)?ge?s?|img|pic(ture)?s?|raw|data(sets?)?|[\W\d_]*)",
    re.IGNORECASE,
)
_FIELDS = ("character", "outfit", "style", "source")


@dataclass(frozen=True)
class Told:
    """What is told of all pictures of a folder, or of one.

    Attributes:
        character: name of the character.
        outfit: what it wears.
        style: how it is drawn.
        source: where it comes from: an artist, a post, a film.
    """

    character: str = ""
    outfit: str = ""
    style: str = ""
    source: str = ""


@dataclass(frozen=True)
class Imported:
    """One picture as its folder describes it, not looked at yet.

    Attributes:
        path: absolute; a link keeps its own name.
        told: character, outfit, style, source.
        caption: tags separated by ", ", or a sentence; "" where nothing is told.
        repeats: how often kohya's folder name wants it per epoch.
        note: what is odd about the files beside it.
        error: why it cannot be taken.
    """

    path: Path
    told: Told = field(default_factory=Told)
    caption: str = ""
    repeats: int = 1
    note: str = ""
    error: str = ""


@dataclass(frozen=True)
class Import:
    """What a folder holds.

    Attributes:
        pictures: sorted by path.
        problems: what is wrong with its tables, one line each.
    """

    pictures: list[Imported]
    problems: list[str]


def read_sources(root: Path, given: Told, warehouse: Warehouse) -> Import:
    """Import a folder.

    Args:
        root: the folder.
        given: what holds where nothing else is told; its character holds for all.
        warehouse: for relative paths in tables.

    Raises:
        UsageError: there is no such folder.
    """
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}", "give the folder that holds the pictures")
    found = find_pictures(root)
    names = _names(found)
    metadata = read_metadata(_up_to(root, names), warehouse)
    pictures = [_import(one, root, given, metadata, names) for one in found]
    listed = {one.path for one in pictures}
    for path in sorted(metadata.rows.keys() - listed):
        error = f"listed in {metadata.origin[path].name}, but not among the pictures"
        pictures.append(_with_row(Imported(path, given, error=error), metadata.rows[path], given))
    return Import(sorted(pictures, key=lambda one: shown(one.path)), metadata.problems)


def _import(
    one: Found, root: Path, given: Told, metadata: Metadata, names: Mapping[Path, frozenset[str]]
) -> Imported:
    path = absolute(one.path)
    inner = one.path.relative_to(root).parts[:-1]
    repeats, folder_outfit = _from_folders((root.resolve().name, *inner), given.character)
    words = Words() if one.error else words_beside(one.path, names[one.path.parent])
    post = _PIXIV.match(one.path.stem)
    told = Told(
        given.character or _text(words.told.get("character")),
        _text(words.told.get("outfit")) or folder_outfit or given.outfit,
        _text(words.told.get("style")) or given.style,
        _source(words.told) or (f"pixiv {post[1]}" if post else "") or given.source,
    )
    plain = Imported(path, told, words.caption, repeats, words.problem, one.error)
    return _with_row(plain, metadata.rows.get(path, {}), given)


def _with_row(one: Imported, row: Mapping[str, Any], given: Told) -> Imported:
    """Return the picture with what a table tells of it."""
    told = {name: value for name in _FIELDS if (value := _text(row.get(name)))}
    if given.character:
        told.pop("character", None)
    return replace(one, told=replace(one.told, **told), caption=caption_of(row) or one.caption)


def _from_folders(folders: Sequence[str], character: str) -> tuple[int, str]:
    """Return repeats and outfit by the names of folders, the first of which is the one that is imported."""
    for folder in reversed(folders):
        if kohya := _KOHYA.fullmatch(folder):
            return int(kohya[1]), _outfit(kohya[2], character)
    outfits = (_outfit(folder, character) for folder in folders[1:] if not _NO_OUTFIT.fullmatch(folder))
    return 1, next(filter(None, outfits), "")


def _outfit(name: str, character: str) -> str:
    """Return the name of a folder as an outfit, without the name of the character at its beginning."""
    rest = re.sub(rf"^{re.escape(character)}(?=[\W_]|$)[\W_]*", "", name, flags=re.IGNORECASE)
    return " ".join(shown(Path(rest)).replace("_", " ").split()) if rest else ""


def _source(told: Mapping[str, Any]) -> str:
    """Return where a downloader's JSON says that a picture is from: a post's number, else an address."""
    site, number = told.get("category"), told.get("id")
    if isinstance(site, str) and isinstance(number, int | str):
        return f"{site} {number}"
    return _text(told.get("source"))


def _names(found: Sequence[Found]) -> dict[Path, frozenset[str]]:
    """Return the names of all files of the folders that hold pictures."""
    folders = {one.path.parent for one in found if not one.error}
    return {folder: frozenset(entry.name for entry in folder.iterdir()) for folder in folders}


def _up_to(root: Path, folders: Iterable[Path]) -> set[Path]:
    """Return these folders and those between them and the root, resolved."""
    result = {root.resolve()}
    for folder in folders:
        between = (root.joinpath(*parts) for parts in _beginnings(folder.relative_to(root).parts))
        result.update(one.resolve() for one in between)
    return result


def _beginnings(parts: Sequence[str]) -> Iterator[Sequence[str]]:
    for length in range(1, len(parts) + 1):
        yield parts[:length]


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
