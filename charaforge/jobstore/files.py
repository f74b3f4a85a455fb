"""The few things that the store does with files, in one place, so that tests can put a worse disk there.

Nothing here is flushed to the disk one by one: every file can be made again, and whoever reads one tells a
broken one. What is finished is flushed together, see `flush`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from charaforge.warehouse.atomic import create_bytes, write_bytes

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_PASSING = (*FULL_DISK, *DENIED, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE)
_RESERVE_BYTES = 256 * 2**20
_RESERVE_SHARE = 0.02
_FEW = 64  # files that are flushed one by one


@dataclass(frozen=True)
class Stat:
    """Size in bytes and time of the last change in nanoseconds, as the file system tells it."""

    size: int
    mtime_ns: int


class Files:
    """A file system that several processes on several machines share."""

    def read(self, path: Path) -> bytes | None:
        """Return what a file holds, or nothing where there is none."""
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_range(self, path: Path, start: int, length: int) -> bytes:
        """Return part of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)

    def stat(self, path: Path) -> Stat | None:
        """Return size and time of a file, or nothing where there is none."""
        try:
            told = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(told.st_size, told.st_mtime_ns)

    def fresh_stat(self, path: Path) -> Stat | None:
        """Return the same, asking the server: NFS promises that for a file that is opened."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            told = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return Stat(told.st_size, told.st_mtime_ns)

    def exists(self, path: Path) -> bool:
        """Return whether there is such a file or folder."""
        return path.exists()

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, hidden ones left out, in no order; none where it is missing."""
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def listing(self, folder: Path) -> dict[str, Stat]:
        """Return name, size and time of the files in a folder, hidden ones left out."""
        found = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        told = entry.stat()
                        found[entry.name] = Stat(told.st_size, told.st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            pass
        return found

    def write(self, path: Path, data: bytes) -> None:
        """Write a file, whole or not at all, over what is there; its folder is made."""
        write_bytes(path, data, durable=False)

    def create(self, path: Path, data: bytes) -> bool:
        """Write a file unless it is there already; return whether this call made it."""
        try:
            return create_bytes(path, data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return create_bytes(path, data)

    def append(self, path: Path, data: bytes) -> None:
        """Append to a file at once."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Delete a file; nothing happens where there is none."""
        path.unlink(missing_ok=True)

    def touch(self, path: Path) -> bool:
        """Give a file the time of now; return whether it is there."""
        try:
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def publish(self, prepared: Path, folder: Path) -> bool:
        """Give a prepared folder its name; return False where that is taken."""
        try:
            prepared.rename(folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise
        return True

    def room(self, folder: Path) -> bool:
        """Return whether the disk has more than its reserve left: 2 % of it, 256 MiB at most."""
        return self._room(folder, 1)

    def much_room(self, folder: Path) -> bool:
        """Return whether it has twice the reserve left, so that work can go on."""
        return self._room(folder, 2)

    def flush(self, paths: Iterable[Path]) -> None:
        """Bring files to the disk: each of a few, or all that the machine has to write.

        Of many paths only the first are taken: a hundred thousand of them need not be in memory.
        """
        few = list(islice(paths, _FEW + 1))
        if len(few) > _FEW:
            os.sync()
            return
        for path in few:
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _room(self, folder: Path, times: int) -> bool:
        told = shutil.disk_usage(folder)
        return told.free > times * min(_RESERVE_BYTES, int(told.total * _RESERVE_SHARE))


def disk_full(error: BaseException) -> bool:
    """Return whether an error says that there is no room on the disk."""
    return isinstance(error, OSError) and error.errno in FULL_DISK


def denied(error: BaseException) -> bool:
    """Return whether an error says that this process may not read or write there: trying again is in vain."""
    return isinstance(error, OSError) and error.errno in DENIED


def of_the_disk(error: OSError) -> bool:
    """Return whether an error is one of the disk or the machine, not of what was asked for."""
    return error.errno in _PASSING
