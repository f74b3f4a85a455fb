"""Pictures that are computed from the request alone, in microseconds: to measure and test the queue itself.

`JOB_RENDERER=pattern` renders so, `JOB_RENDERER=pattern:25` takes 25 ms for each picture.
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from charaforge.jobstore.rendering import OnStep

SIDE = 4  # pixels


@dataclass(frozen=True)
class PatternPicture:
    """A picture of SIDE × SIDE pixels whose colours are the hash of its request and micro-batch."""

    request: Mapping[str, Any]
    size: int

    def png(self) -> bytes:
        """Return the PNG."""
        told = json.dumps([self.request, self.size], sort_keys=True).encode()
        colours = hashlib.shake_128(told).digest(3 * SIDE * SIDE)
        rows = b"".join(b"\0" + colours[row : row + 3 * SIDE] for row in range(0, len(colours), 3 * SIDE))
        head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
        parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)

    def facts(self) -> Mapping[str, Any]:
        """Return what the sidecar says."""
        return {"request": dict(self.request), "run": {"micro_batch": self.size, "renderer": "pattern"}}

    def weights(self) -> Mapping[str, str]:
        """Return nothing: no model has a part in it."""
        return {}


@dataclass(frozen=True)
class PatternRenderer:
    """Renders patterns.

    Args:
        seconds: for each picture.
    """

    seconds: float = 0.0

    def render(
        self, requests: Sequence[Mapping[str, Any]], size: int, rung: int | None, on_step: OnStep
    ) -> Iterator[PatternPicture]:
        """Yield a pattern for each request."""
        for place, request in enumerate(requests):
            if self.seconds:
                time.sleep(self.seconds)
            on_step(place + 1, len(requests))
            yield PatternPicture(request, size)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
