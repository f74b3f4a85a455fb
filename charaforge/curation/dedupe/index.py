"""What dedupe knows of all pictures it ever saw in a dataset, on disk: hashes, thumbnails, pairs of copies.

Pictures are numbered as they come and known by content. New ones are compared with all, old ones never again
with each other. The files only grow; `index.json`, replaced last, says how much of them counts, so a killed
run leaves the index as it was.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from charaforge.curation.dedupe.candidates import EDGE, Edges, candidates, look_closely
from charaforge.curation.dedupe.features import VERSION, Features
from charaforge.curation.dedupe.join import Indices
from charaforge.curation.dedupe.verify import NOISY_LIMIT, QUIET_LIMIT, THUMB_SIDE, WIDE_LIMIT
from charaforge.errors import WarehouseError
from charaforge.warehouse.atomic import write_json

_COLUMNS: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    "sha256": (np.dtype("u1"), (32,)),
    "small": (np.dtype("<u8"), (8,)),
    "wide": (np.dtype("<u8"), (8, 4)),
    "thumbs": (np.dtype("u1"), (THUMB_SIDE, THUMB_SIDE, 3)),
    "edges": (EDGE, ()),
    "crowded": (np.dtype("<i8"), ()),
}
_PICTURES = ("sha256", "small", "wide", "thumbs")


class Index:
    """The index of one dataset, open for one process; used as a context manager.

    Args:
        folder: where it lies; made when missing.
        radius: bits of 64 within which hashes are close.
        any_turn: find mirrored and turned copies too.

    Raises:
        WarehouseError: another process has it open, or the folder cannot be written.
    """

    def __init__(self, folder: Path, radius: int, any_turn: bool = True) -> None:
        self._folder = folder
        self.radius = radius
        self.any_turn = any_turn
        self._counts = dict.fromkeys(_COLUMNS, 0)
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WarehouseError(f"another run has {self._folder} open", "wait until it has ended") from error
        except OSError as error:
            raise WarehouseError(f"{self._folder} cannot be written: {error.strerror}") from error
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def __len__(self) -> int:
        return self._counts["small"]

    @property
    def features(self) -> Features:
        """Of all pictures, mapped from the disk."""
        return Features(*(self._column(name) for name in _PICTURES))

    @property
    def edges(self) -> Edges:
        """Pairs of pictures with close hashes, looked at closely."""
        return self._column("edges")

    @property
    def crowded(self) -> Indices:
        """Pictures whose pairs with each other may be missing, rising."""
        return np.unique(self._column("crowded")).astype(np.int64)

    def numbers(self, sha256: npt.NDArray[np.uint8]) -> Indices:
        """Return the numbers of pictures by content (n, 32); -1 for unknown ones."""
        known = self._column("sha256")
        if not len(known) or not len(sha256):
            return np.full(len(sha256), -1)
        keys, wanted = _keys(known), _keys(sha256)
        order = np.argsort(keys)
        at = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
        return np.where((known[at] == sha256).all(axis=1), at, -1)

    def add(self, new: Features) -> None:
        """Add pictures with contents that are not known yet, each once, and compare them with all."""
        first = len(self)
        for name in _PICTURES:
            self._append(name, getattr(new, name))
        self._compare(first, new)
        self._save()

    def _compare(self, first: int, new: Features) -> None:
        every = self.features
        found = candidates(np.ascontiguousarray(every.small[:first, 0]), new, self.radius, self.any_turn)
        self._append("edges", look_closely(found.edges, every))
        self._append("crowded", found.crowded)

    def _open(self) -> None:
        try:
            told = json.loads((self._folder / "index.json").read_text(encoding="utf-8"))
            counts = {name: int(told["counts"][name]) for name in _COLUMNS}
            whole = all(self._size(name) >= counts[name] for name in _COLUMNS)
        except (OSError, ValueError, KeyError, TypeError):
            return
        if not whole or told.get("version") != VERSION:
            return
        self._counts = counts
        if told.get("settings") != self._settings():
            self._counts |= {"edges": 0, "crowded": 0}
            self._compare(0, self.features)
            self._save()

    def _settings(self) -> dict[str, Any]:
        limits = [WIDE_LIMIT, QUIET_LIMIT, NOISY_LIMIT]
        return {"radius": self.radius, "any_turn": self.any_turn, "limits": limits}

    def _save(self) -> None:
        told = {"version": VERSION, "settings": self._settings(), "counts": self._counts}
        write_json(self._folder / "index.json", told)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.bin"

    def _size(self, name: str) -> int:
        kind, shape = _COLUMNS[name]
        file = self._file(name)
        return file.stat().st_size // (kind.itemsize * int(np.prod(shape))) if file.is_file() else 0

    def _append(self, name: str, values: npt.NDArray[Any]) -> None:
        kind, shape = _COLUMNS[name]
        with self._file(name).open("r+b" if self._file(name).exists() else "wb") as stream:
            stream.truncate(self._counts[name] * kind.itemsize * int(np.prod(shape)))
            stream.seek(0, 2)
            np.ascontiguousarray(values, kind).tofile(stream)
            os.fsync(stream.fileno())
        self._counts[name] += len(values)

    def _column(self, name: str) -> npt.NDArray[Any]:
        kind, shape = _COLUMNS[name]
        if not self._counts[name]:
            return np.zeros((0, *shape), kind)
        return np.memmap(self._file(name), kind, "r", shape=(self._counts[name], *shape))


def _keys(sha256: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(sha256[:, :8]).view(np.uint64).ravel()
