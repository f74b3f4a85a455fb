"""What batch files may name in these tests."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from charaforge.errors import UnknownNameError, UsageError
from charaforge.requests.batch import Batch, read_batch

KNOWN = {
    "base": {"mini-sd": "sd15", "big": "sdxl"},
    "lora": {"charA": "sd15", "style": "sd15", "bigger": "sdxl"},
    "vae": {"bright": ""},
}


@dataclass(frozen=True)
class FewNames:
    """Some models; a file is there when its name begins with `there`."""

    wildcards: Path = Path("/nonexistent")

    def family(self, kind: str, name: str) -> str:
        names = KNOWN.get(kind, {})
        if name not in names:
            raise UnknownNameError(f"{kind} model", name, names)
        return names[name]

    def file(self, told: str, json_too: bool) -> str:
        if not told.startswith("there"):
            raise UsageError(f"there is no file {told!r}")
        return f"/abs/{told}"


def read(data: str | bytes, name: str = "a.csv", limit: int = 1000, wildcards: Path | None = None) -> Batch:
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return read_batch(stream, name, FewNames(wildcards or Path("/nonexistent")), limit)


def told(batch: Batch) -> list[tuple[int, str]]:
    """Row and column of every fault."""
    return [(fault.row, fault.column) for fault in batch.faults.listed]
