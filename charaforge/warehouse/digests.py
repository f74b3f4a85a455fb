"""The sha256 of a model's weights, remembered until its files change."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


def weights_sha256(path: Path) -> str:
    """Return the sha256 of a net's weights: of its file, or over names and digests of its several files."""
    if path.is_file():
        return _sha256(path, *_stamp(path))
    files = sorted(file for file in path.rglob("*") if file.suffix in (".safetensors", ".onnx"))
    if len(files) == 1:
        return _sha256(files[0], *_stamp(files[0]))
    lines = [f"{_sha256(file, *_stamp(file))}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    told = file.stat()
    return told.st_size, told.st_mtime_ns


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, changed_ns: int) -> str:
    """Return the sha256 of a file; `size` and `changed_ns` only tell its versions apart."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
