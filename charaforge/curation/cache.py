"""What stages remember: append-only files of JSON lines that survive a kill at any moment.

A line is whole or it does not count: a torn last line is cut off before the next one is written, a broken
line in the middle is skipped. One process at a time may write a file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from charaforge.errors import WarehouseError


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole JSON objects of a file, oldest first; nothing where there is no file."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                return
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


class Lines:
    """A file of JSON lines, open for appending; used as a context manager.

    Args:
        path: the file; missing folders are made.

    Raises:
        WarehouseError: another process is writing it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            stream = self._path.open("a+b")
        except OSError as error:
            raise WarehouseError(f"{self._path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            hint = "wait until it has ended, or stop it"
            raise WarehouseError(f"another run is writing {self._path}", hint) from error
        _cut_torn_line(stream)
        self._stream = stream
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def append(self, values: Iterable[dict[str, Any]]) -> None:
        """Write one line per value, and hand them to the system before returning.

        Raises:
            ValueError: a value holds NaN or infinity.
        """
        assert self._stream is not None
        text = "".join(json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n" for value in values)
        self._stream.write(text.encode())
        self._stream.flush()


def _cut_torn_line(stream: IO[bytes]) -> None:
    end = stream.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            stream.truncate(start + newline + 1)
            return
        end = start
    stream.truncate(0)
