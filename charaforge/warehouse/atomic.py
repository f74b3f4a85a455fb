"""Files that are either there and whole, or not there.

A file is written under a temporary name in the same folder, flushed to the disk and renamed. Whoever reads
sees the old content or the new, whatever happens in between; a killed writer leaves at most a hidden
file with `.tmp` in its name.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `path` when the block ends without an error.

    For writers that want a file name (safetensors, Pillow, parquet). Missing folders are made. The temporary
    name ends in the suffix of `path`, because some writers choose the format by it.

    Args:
        path: where the file shall be in the end.
        durable: flush it to the disk. False for the thousands of files that can be made again: whole after
            a kill, perhaps not after a loss of power.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        if durable:
            _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _flush(path.parent)


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write `data` as the whole content of `path`; `durable` as in `replacing`."""
    with replacing(path, durable) as temporary:
        temporary.write_bytes(data)


def create_bytes(path: Path, data: bytes, durable: bool = False) -> bool:
    """Write `data` as `path` unless there is one already; of several who try, one succeeds, on NFS too.

    The folder must be there; `durable` as in `replacing`.

    Returns:
        Whether this call made it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(data)
        if durable:
            _flush(temporary)
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_without_link(path, data)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _flush(path.parent)
    return True


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8, line ends as given) as the whole content of `path`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, two spaces deep, keys in their order.

    Raises:
        ValueError: `value` holds NaN or infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _create_without_link(path: Path, data: bytes) -> bool:
    """Do the same where the file system has no hard links; a reader may for a moment see it empty."""
    try:
        with path.open("xb") as stream:
            stream.write(data)
    except FileExistsError:
        return False
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
