"""What a worker tells of its work with its heartbeat, for `GET /metrics`: pictures, their times, memory."""

from __future__ import annotations

import sys
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from charaforge.errors import CharaForgeError
from charaforge.jobstore.rendering import OnStep, Picture, Renderer

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass
class Meter:
    """The counts of one worker since it started.

    Attributes:
        buckets: how many pictures took up to SECONDS each, longer ones last; not added up.
        seconds: that all took.
        errors: kind of error -> how often rendering ended with it.
    """

    buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, seconds: float) -> None:
        """Count a picture."""
        with self._lock:
            self.buckets[bisect_left(SECONDS, seconds)] += 1
            self.seconds += seconds

    def fail(self, kind: str) -> None:
        """Count an error."""
        with self._lock:
            self.errors[kind] += 1

    def facts(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        with self._lock:
            told = {"buckets": list(self.buckets), "seconds": self.seconds, "errors": dict(self.errors)}
        return {**told, "gpus": gpu_memory()}


@dataclass(frozen=True)
class Measured:
    """A renderer whose pictures are counted.

    Args:
        renderer: makes them.
        meter: counts them.
    """

    renderer: Renderer
    meter: Meter

    def render(
        self, requests: Sequence[Mapping[str, Any]], size: int, rung: int | None, on_step: OnStep
    ) -> Iterator[Picture]:
        """Render as the renderer does; see `Renderer.render`."""
        start = time.monotonic()
        try:
            for picture in self.renderer.render(requests, size, rung, on_step):
                self.meter.count(time.monotonic() - start)
                yield picture
                start = time.monotonic()
        except CharaForgeError as error:
            self.meter.fail(error.slug)
            raise


def gpu_memory() -> list[dict[str, Any]]:
    """Return name, used and total bytes of each CUDA device; nothing before torch was imported."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    found = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        found.append({"device": f"{number}: {name}", "used": total - free, "total": total})
    return found
