"""What a model's own files say about it: `card.json`, the safetensors header, its file name."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from charaforge.errors import ModelFileError

PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")
_MARKERS = ("card.json", "model_index.json", "config.json", "model.onnx", "*.onnx", "*.safetensors")
_HEADER_LIMIT = 100_000_000  # bytes; the safetensors format allows no longer header


def is_model(path: Path) -> bool:
    """Return whether `path` is a model: a safetensors or ONNX file, or a folder that holds one."""
    if path.name.startswith("."):
        return False
    if path.is_file():
        return path.suffix in (".safetensors", ".onnx")
    return any(next(path.glob(marker), None) is not None for marker in _MARKERS)


def model_id(path: Path) -> str:
    """Return the id of a model: its file name without suffix, other signs than A-Z a-z 0-9 . _ - as "-"."""
    return slug(path.name if path.is_dir() else path.stem)


def slug(name: str) -> str:
    """Return the id that a name becomes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")


def weights_file(path: Path) -> Path | None:
    """Return the one safetensors file of a model: `<folder>/<folder>.safetensors`, or the file itself."""
    file = path / f"{path.name}.safetensors" if path.is_dir() else path
    return file if file.suffix == ".safetensors" and file.is_file() else None


def read_card(path: Path) -> dict[str, Any]:
    """Return the card of a model.

    Args:
        path: folder or single file of the model.

    Returns:
        Its `card.json`, else the metadata in the header of its safetensors file, else nothing.

    Raises:
        ModelFileError: the card or the header cannot be read.
    """
    card = path / "card.json"
    if card.is_file():
        try:
            return dict(json.loads(card.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ModelFileError(
                f"{card} is not a JSON object ({error})", "restore it from where it came from"
            ) from error
    weights = weights_file(path)
    return safetensors_metadata(weights) if weights else {}


def safetensors_metadata(file: Path) -> dict[str, Any]:
    """Return the `__metadata__` of a safetensors file, without reading its tensors.

    Raises:
        ModelFileError: the file is cut off or is no safetensors file.
    """
    told = file.stat()
    return dict(_metadata(file, told.st_size, told.st_mtime_ns))


def safetensors_keys(file: Path) -> list[str]:
    """Return the names of the tensors in a safetensors file, without reading them; errors as above."""
    return [key for key in _header(file) if key != "__metadata__"]


@lru_cache(maxsize=4096)
def _metadata(file: Path, size: int, changed_ns: int) -> dict[str, Any]:
    """Read the metadata; `size` and `changed_ns` only tell versions of the file apart."""
    return dict(_header(file).get("__metadata__", {}))


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= _HEADER_LIMIT else b""
    try:
        return dict(json.loads(header).items())
    except (ValueError, AttributeError) as error:
        raise ModelFileError(f"{file} is not a safetensors file, or is cut off", "fetch it again") from error


def family_of(card: dict[str, Any]) -> str:
    """Return the family that a LoRA's metadata names, in kohya's or modelspec's keys, else ""."""
    told = f"{card.get('ss_base_model_version', '')} {card.get('modelspec.architecture', '')}".lower()
    if "xl" in told:
        return "sdxl"
    return "sd15" if "sd_v1" in told or "stable-diffusion-v1" in told else ""
