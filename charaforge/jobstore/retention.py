"""What of a warehouse can go: old pictures, finished jobs, uploads, caches. Models and tables never."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.spec import JobSpec
from charaforge.warehouse.layout import Warehouse

What = Literal["pictures", "jobs", "uploads", "caches", "leftovers"]
KINDS: tuple[What, ...] = ("pictures", "jobs", "uploads", "caches", "leftovers")
LEFTOVER_DAYS = 1.0  # files of writers that were killed
_DAY_S = 86_400.0


@dataclass(frozen=True)
class Litter:
    """Something that can go.

    Attributes:
        what: kind of thing.
        path: file or folder.
        bytes: how much room it takes.
        age_days: since its last change.
    """

    what: What
    path: Path
    bytes: int
    age_days: float


def litter(warehouse: Warehouse, kinds: frozenset[str], older_than_days: float) -> Iterator[Litter]:
    """Yield what can go, kind by kind.

    A job that has not ended stays, and so do its pictures and whatever its folder names.

    Args:
        warehouse: where to look.
        kinds: of KINDS.
        older_than_days: what has changed since stays; leftovers of killed writers go after a day.
    """
    busy = _open_jobs(warehouse)
    if "pictures" in kinds:
        yield from _old("pictures", _picture_folders(warehouse, busy, older_than_days), older_than_days)
    if "jobs" in kinds:
        ended = (folder for folder in _jobs(warehouse) if folder.name not in busy)
        yield from _old("jobs", ended, older_than_days)
    if "uploads" in kinds and not busy:
        yield from _old("uploads", _files(warehouse.uploads), older_than_days)
    if "caches" in kinds:
        yield from _old("caches", _files(warehouse.training_cache), older_than_days)
    if "leftovers" in kinds:
        yield from _old("leftovers", _leftovers(warehouse), LEFTOVER_DAYS)


def remove(found: Litter) -> None:
    """Delete it, and folders above that are empty now."""
    if found.path.is_dir() and not found.path.is_symlink():
        shutil.rmtree(found.path, ignore_errors=True)
    else:
        found.path.unlink(missing_ok=True)
    parent = found.path.parent
    while parent.name and parent.is_dir() and found.what in ("pictures", "uploads", "caches"):
        try:
            parent.rmdir()
        except OSError:
            return
        parent = parent.parent


def _old(what: What, paths: Iterator[Path], days: float) -> Iterator[Litter]:
    now = time.time()
    for path in paths:
        size, newest = _measured(path)
        age = (now - newest) / _DAY_S
        if age >= days:
            yield Litter(what, path, size, age)


def _open_jobs(warehouse: Warehouse) -> set[str]:
    """Return the names of jobs that have not ended: those whose folder does not say how they did."""
    return {folder.name for folder in _jobs(warehouse) if not JobFolder(folder).finished.is_file()}


def _jobs(warehouse: Warehouse) -> Iterator[Path]:
    for folder in sorted(warehouse.batches.iterdir()) if warehouse.batches.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith(".") and JobFolder(folder).spec.is_file():
            yield folder


def _leftovers(warehouse: Warehouse) -> Iterator[Path]:
    """Yield what killed processes left: half-written files, half-submitted jobs, heartbeats of the dead."""
    half = [path for path in warehouse.batches.glob(".*.tmp") if path.is_dir()]
    yield from half
    for path in _files(warehouse.outputs):
        written = path.name.startswith(".") and ".tmp" in path.name
        if written and not any(path.is_relative_to(folder) for folder in half):
            yield path
    yield from sorted((warehouse.batches / ".workers").glob("[!.]*.json"))


def _picture_folders(warehouse: Warehouse, busy: set[str], days: float) -> Iterator[Path]:
    """Yield the folders of requests and jobs on days that are long past."""
    last = (datetime.now(UTC) - timedelta(days=days)).date()
    kept = {str(warehouse.outputs / _out(warehouse.batches / name)) for name in busy}
    for day in sorted(warehouse.outputs.iterdir()) if warehouse.outputs.is_dir() else ():
        if not day.is_dir() or not _is_day(day.name) or date.fromisoformat(day.name) > last:
            continue
        yield from (folder for folder in sorted(day.iterdir()) if str(folder) not in kept)


def _out(folder: Path) -> str:
    try:
        return JobSpec.read(JobFolder(folder).spec.read_bytes()).out
    except (OSError, ValueError):
        return ""


def _is_day(name: str) -> bool:
    try:
        date.fromisoformat(name)
    except ValueError:
        return False
    return len(name) == 10


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in sorted(names))


def _measured(path: Path) -> tuple[int, float]:
    """Return the bytes of a file or folder, and when something in it changed last."""
    paths = [path, *(_files(path) if path.is_dir() and not path.is_symlink() else ())]
    size, newest = 0, 0.0
    for one in paths:
        try:
            told = one.lstat()
        except FileNotFoundError:
            continue
        size += told.st_size if not one.is_dir() else 0
        newest = max(newest, told.st_mtime)
    return size, newest
