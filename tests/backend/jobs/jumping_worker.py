"""A worker whose clock can be set by a file, for the test of clocks that jump."""

from __future__ import annotations

import os
import time
from pathlib import Path

_real = time.time
_offset = Path(os.environ["CLOCK_OFFSET"])


def _jumping() -> float:
    return _real() + float(_offset.read_text(encoding="ascii") or 0)


time.time = _jumping

from backend.jobs.worker import app  # noqa: E402

__all__ = ["app"]
