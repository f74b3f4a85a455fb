"""What each file is: the sha256 of its bytes, remembered as long as its size and time stay the same."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from charaforge.curation.cache import Lines, read_lines
from charaforge.curation.pictures import read_file
from charaforge.errors import PictureError
from charaforge.logs import Progress

THREADS = min(8, (os.cpu_count() or 1) + 1)
_GROUP = 256


@dataclass(frozen=True)
class Fingerprint:
    """What is known of a file without decoding it.

    Attributes:
        sha256: of its bytes, 64 hex digits; "" where it cannot be read.
        pixels: width × height by its header; 0 where it has none.
        error: why it cannot be read, or "".
    """

    sha256: str
    pixels: int = 0
    error: str = ""


def fingerprints(files: Sequence[Path], cache: Path) -> dict[Path, Fingerprint]:
    """Return the fingerprint of every file, reading only those that are new or changed.

    Args:
        files: the files.
        cache: folder of `files.jsonl`, which remembers them.
    """
    known = {line["path"]: line for line in read_lines(cache / "files.jsonl") if "path" in line}
    result: dict[Path, Fingerprint] = {}
    with (
        Lines(cache / "files.jsonl") as lines,
        ThreadPoolExecutor(THREADS) as pool,
        Progress(len(files), "reading files", "files") as progress,
    ):
        for group in _groups(files):
            looks = list(pool.map(lambda path: _look(path, known), group))
            result.update((path, mark) for path, (mark, _) in zip(group, looks, strict=True))
            lines.append(line for _, line in looks if line is not None)
            progress.advance(len(group))
    return result


def _look(path: Path, known: dict[str, dict[str, Any]]) -> tuple[Fingerprint, dict[str, Any] | None]:
    """Return the fingerprint, and what is to be remembered if that is news."""
    try:
        status = path.stat()
        old = known.get(str(path))
        if old and (old.get("size"), old.get("mtime_ns")) == (status.st_size, status.st_mtime_ns):
            return Fingerprint(str(old["sha256"]), int(old["pixels"])), None
        data = read_file(path)
    except PictureError as error:
        return Fingerprint("", error=error.message), None
    except OSError as error:
        return Fingerprint("", error=f"cannot be read: {error.strerror or error}"), None
    mark = Fingerprint(hashlib.sha256(data).hexdigest(), _pixels(data))
    line = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return mark, line | {"sha256": mark.sha256, "pixels": mark.pixels}


def _pixels(data: bytes) -> int:
    """Return what the header promises; a broken one is told when the picture is decoded."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return opened.width * opened.height
    except Exception:  # whatever Pillow's readers raise on a broken header
        return 0


def _groups(files: Sequence[Path]) -> Iterator[list[Path]]:
    iterator = iter(files)
    while group := list(islice(iterator, _GROUP)):
        yield group
