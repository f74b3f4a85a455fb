"""Models that are there: whether their files are as they came, and how they go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charaforge.errors import UnknownNameError, UsageError
from charaforge.warehouse.intake import record
from charaforge.warehouse.registry import ModelEntry, Registry


@dataclass(frozen=True)
class Finding:
    """What a check of one model found.

    Attributes:
        entry: the model.
        faults: one line for each file that is not as it came.
        recorded: how many files its card records; 0: there is nothing to compare with.
    """

    entry: ModelEntry
    faults: tuple[str, ...]
    recorded: int


def find(registry: Registry, name: str, kind: str | None = None) -> ModelEntry:
    """Return the model called `name`, of whatever kind.

    Raises:
        UnknownNameError: there is none; it names the nearest.
        UsageError: models of several kinds have this name.
    """
    entries = registry.list(kind)
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise UnknownNameError("model", name, (entry.name for entry in entries))
    if len(found) > 1:
        kinds = ", ".join(entry.kind for entry in found)
        raise UsageError(f"{name!r} is the name of several models: {kinds}", "say which one with --kind")
    return found[0]


def verify(entries: list[ModelEntry]) -> Iterator[Finding]:
    """Compare the files of models with what their cards record, one model at a time."""
    for entry in entries:
        told = entry.card.get("files")
        files = told if isinstance(told, dict) and entry.path.is_dir() else {}
        faults = tuple(line for name, known in files.items() for line in _faults(entry.path / name, known))
        yield Finding(entry, faults, len(files))


def remove(entry: ModelEntry) -> None:
    """Delete a model; where its files are links, what they point to stays.

    Raises:
        UsageError: it is embedded in the package.
    """
    if entry.embedded:
        raise UsageError(
            f"{entry.name} comes with the package", "only models of the warehouse can be removed"
        )
    if entry.path.is_symlink() or entry.path.is_file():
        entry.path.unlink()
    else:
        shutil.rmtree(entry.path)


def _faults(file: Path, known: object) -> Iterator[str]:
    if not file.is_file():
        yield f"{file} is missing"
        return
    now = record(file)
    if not isinstance(known, dict) or known.get("sha256") != now["sha256"]:
        was = known.get("sha256", "unknown") if isinstance(known, dict) else "unknown"
        yield f"{file} is not as it came: its sha256 is {now['sha256']}, recorded is {was}"
