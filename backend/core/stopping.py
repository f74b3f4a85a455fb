"""Whether the service is about to stop: streams that would go on have to end then.

uvicorn waits for open connections before it tells an app of the end, so this listens to the signals itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Set when the process is told to end."""

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        """Return whether it is."""
        return self._set

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen within the block, before whoever listened until then; in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _SIGNALS}

        def heard(number: int, frame: FrameType | None) -> None:
            self._set = True
            then = before[signal.Signals(number)]
            if callable(then):
                then(number, frame)

        for number in _SIGNALS:
            signal.signal(number, heard)
        try:
            yield
        finally:
            self._set = True
            for number, then in before.items():
                if signal.getsignal(number) is heard:
                    signal.signal(number, then)
