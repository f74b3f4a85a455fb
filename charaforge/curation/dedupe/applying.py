"""Acting on what dedupe found: moving copies away, or linking what is kept; all of it can be undone.

Every step is written to a journal before it is done. Nothing is deleted, overwritten or changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from charaforge.curation.cache import Lines, read_lines
from charaforge.curation.dedupe.dedupe import Copy
from charaforge.curation.stage import Row
from charaforge.errors import UsageError, WarehouseError
from charaforge.logs import get_logger

logger = get_logger(__name__)

JOURNAL = "dedupe-journal.jsonl"


def move_copies(copies: Sequence[Copy], rows: Mapping[Path, Row], root: Path, out: Path) -> int:
    """Move copies to `<out>/copies`, in folders as they lay below `root`.

    A copy stays where it is when its keeper is gone, or when its own content has changed since.

    Returns:
        How many were moved.

    Raises:
        UsageError: `out` lies within `root`, so that the next run would find the copies again.
        WarehouseError: a copy cannot be moved, e.g. because `out` is on another file system.
    """
    target = out / "copies"
    _check_outside(target, root)
    moved = 0
    with Lines(out / JOURNAL) as journal:
        for copy in copies:
            sha256 = str(rows[copy.path]["sha256"])
            if not copy.keeper.is_file() or _sha256(copy.path) != sha256:
                logger.warning("%s stays: it or its keeper %s has changed", copy.path, copy.keeper)
                continue
            place = _free(target / _below(copy.path, root))
            step = {"action": "move", "from": str(copy.path.absolute()), "to": str(place.absolute())}
            journal.append([step | {"sha256": sha256}])
            _move(copy.path, place)
            moved += 1
    return moved


def link_kept(kept: Sequence[Path], root: Path, out: Path) -> int:
    """Make links to all that is kept, in `<out>/kept`, in folders as they lie below `root`.

    Returns:
        How many links were made; those that are there already are not counted.

    Raises:
        UsageError: `out` lies within `root`.
    """
    target = out / "kept"
    _check_outside(target, root)
    made = 0
    with Lines(out / JOURNAL) as journal:
        for path in kept:
            place = target / _below(path, root)
            if place.is_symlink() and place.resolve() == path.resolve():
                continue
            place = _free(place)
            journal.append([{"action": "link", "from": str(path.absolute()), "to": str(place.absolute())}])
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.absolute())
            made += 1
    return made


def undo(journal: Path) -> tuple[int, list[str]]:
    """Take back the steps of a journal, last first; it is set aside when all are taken back.

    Returns:
        How many were taken back, and what could not be, a line each.

    Raises:
        UsageError: there is no such journal.
    """
    if not journal.is_file():
        raise UsageError(f"there is no journal {journal}", f"it is called {JOURNAL}, where --out was")
    undone, faults = 0, []
    for step in reversed(list(read_lines(journal))):
        source, place = Path(step["from"]), Path(step["to"])
        if not os.path.lexists(place):
            continue  # never done, or taken back before
        if step["action"] == "link":
            if place.is_symlink():
                place.unlink()
                undone += 1
        elif os.path.lexists(source):
            faults.append(f"{place} cannot go back: there is a {source}")
        else:
            _move(place, source)
            undone += 1
    if not faults:
        journal.rename(_free(journal.with_name("dedupe-journal-undone.jsonl")))
    return undone, faults


def _check_outside(target: Path, root: Path) -> None:
    if target.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{target} lies within {root}", "give an --out outside of the pictures")


def _below(path: Path, root: Path) -> Path:
    """Return the path of a file below `root`; for one outside of it, its whole path without the root."""
    return path.relative_to(root) if path.is_relative_to(root) else Path(*path.absolute().parts[1:])


def _free(place: Path) -> Path:
    """Return `place`, or the first of `NAME-2.EXT`, `NAME-3.EXT` … that is not there."""
    free, number = place, 1
    while os.path.lexists(free):
        number += 1
        free = place.with_name(f"{place.stem}-{number}{place.suffix}")
    return free


def _move(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(place)
    except OSError as error:
        raise WarehouseError(
            f"{source} cannot be moved to {place}: {error.strerror}",
            "give an --out on the same file system; what was moved so far is in the journal",
        ) from error


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
