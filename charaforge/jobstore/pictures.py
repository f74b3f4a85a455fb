"""The pictures of a job: a PNG, then its sidecar. Done is what has a sidecar that fits its PNG."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from charaforge.jobstore.files import Files
from charaforge.jobstore.folder import picture_path

Stamp = tuple[int, int, int, int]
"""Sizes and times of a PNG and its sidecar: (bytes, ns, bytes, ns)."""


def _lines(value: Mapping[str, Any]) -> str:
    """Return an object as JSON, a line for each key: json's own indentation takes ten times as long."""
    lines = (
        f"  {json.dumps(key)}: {json.dumps(inner, ensure_ascii=False, allow_nan=False)}"
        for key, inner in value.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def fits(png: bytes, told: Mapping[str, Any]) -> bool:
    """Return whether a PNG is the one that a sidecar tells of."""
    return bool(hashlib.sha256(png).hexdigest() == told.get("sha256"))


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a job lie.

    Args:
        files: the disk.
        out: their folder.
        total: how many items the job has.
    """

    files: Files
    out: Path
    total: int

    def png(self, item: int) -> Path:
        """Return the path of an item's PNG, there or not."""
        return picture_path(self.out, item, self.total)

    def sidecar(self, item: int) -> Path:
        """Return the path of its sidecar."""
        return self.png(item).with_suffix(".json")

    def commit(self, item: int, data: bytes, facts: Mapping[str, Any]) -> Stamp:
        """Write an item's picture: the PNG first, then the sidecar, each whole or not at all.

        Args:
            item: its number.
            data: the PNG.
            facts: what the sidecar says; its name, sha256 and time are added.
        """
        png = self.png(item)
        self.files.write(png, data)
        told = {
            **facts,
            "image": png.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        sidecar = png.with_suffix(".json")
        self.files.write(sidecar, _lines(told).encode())
        return self._stamp(png, sidecar) or (0, 0, 0, 0)

    def stamp(self, item: int) -> Stamp | None:
        """Return sizes and times of an item's two files; None where one is missing."""
        png = self.png(item)
        return self._stamp(png, png.with_suffix(".json"))

    def begun(self, item: int) -> bool:
        """Return whether an item has a sidecar, whatever it says."""
        return self.files.exists(self.sidecar(item))

    def told(self, item: int) -> dict[str, Any] | None:
        """Return an item's sidecar; None where there is none, or a broken one."""
        data = self.files.read(self.sidecar(item))
        try:
            value = json.loads(data) if data else None
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def done(self, item: int) -> bool:
        """Return whether an item is done: its sidecar is whole, and the PNG has the sha256 it says."""
        told = self.told(item)
        data = self.files.read(self.png(item)) if told else None
        if told is None or data is None:
            return False
        return fits(data, told)

    def remove(self, item: int) -> None:
        """Delete an item's files, the sidecar first."""
        self.files.remove(self.sidecar(item))
        self.files.remove(self.png(item))

    def _stamp(self, png: Path, sidecar: Path) -> Stamp | None:
        first, second = self.files.stat(png), self.files.stat(sidecar)
        if first is None or second is None:
            return None
        return first.size, first.mtime_ns, second.size, second.mtime_ns
