"""Pictures on the disk: a PNG that carries its recipe, and beside it a JSON file that says the rest."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from charaforge.generation.provenance import GeneratedImage
from charaforge.warehouse.atomic import create_bytes, write_json
from charaforge.warehouse.layout import Warehouse

COMPRESSION = 6  # of zlib; part of what decides a file's bytes


@dataclass(frozen=True)
class SavedImage:
    """Where a picture and its sidecar lie."""

    image_path: Path
    metadata_path: Path


def new_folder(warehouse: Warehouse, now: datetime | None = None) -> Path:
    """Return a folder for the pictures of one request: `<UTC date>/<HHMMSS>-<6 hex digits>`."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return warehouse.output_folder(moment.date(), f"{moment:%H%M%S}-{secrets.token_hex(3)}")


def save(image: GeneratedImage, folder: Path, facts: Mapping[str, Any] | None = None) -> SavedImage:
    """Write a picture and then its sidecar, under the next free number: `0001.png`, `0001.json`.

    Args:
        image: the picture.
        folder: where to; it is made where it is missing.
        facts: what else the sidecar shall say, e.g. the job's id and the time taken.
    """
    data = png_bytes(image)
    path = _write_numbered(folder, data)
    sidecar = {
        **image.provenance,
        "parameters": image.parameters,
        "image": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        **(facts or {}),
    }
    write_json(path.with_suffix(".json"), sidecar)
    return SavedImage(path, path.with_suffix(".json"))


def png_bytes(image: GeneratedImage) -> bytes:
    """Return the PNG file; it holds nothing but what request, weights and versions decide."""
    chunks = PngInfo()
    chunks.add_text("parameters", image.parameters)
    chunks.add_text("charaforge", json.dumps(image.recipe, sort_keys=True))
    buffer = io.BytesIO()
    image.image.save(buffer, "PNG", pnginfo=chunks, compress_level=COMPRESSION)
    return buffer.getvalue()


def _write_numbered(folder: Path, data: bytes) -> Path:
    """Write a picture under the next free number of a folder; others may be writing there too."""
    folder.mkdir(parents=True, exist_ok=True)
    number = max((int(path.stem) for path in folder.glob("*.png") if path.stem.isdigit()), default=0)
    while True:
        number += 1
        path = folder / f"{number:04}.png"
        if create_bytes(path, data, durable=True):
            return path
