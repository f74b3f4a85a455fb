"""Log lines and progress bars; both go to stderr, so that stdout stays the answer of a command."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Self, TextIO, TypeVar, overload

Item = TypeVar("Item")

_BAR_WIDTH = 24
_TTY_INTERVAL_S = 0.1
_PLAIN_INTERVAL_S = 10.0
EVERY = "PROGRESS_EVERY_S"  # of the environment


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module; call it with `__name__`."""
    return logging.getLogger(name)


def configure(level: int = logging.INFO) -> None:
    """Send the log lines of CharaForge to stderr; calling it again only changes the level.

    Args:
        level: the lowest level that is shown, as in `logging`.
    """
    root = logging.getLogger("charaforge")
    root.setLevel(level)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of kernels that it does without
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
        root.propagate = False


class Progress:
    """A progress bar with rate and remaining time, used as a context manager.

    On a terminal the bar is redrawn in place; elsewhere one line is written every 10 s (or as often as
    PROGRESS_EVERY_S says, for whoever reads it on) and none for work that is done sooner.

    Args:
        total: number of units of work.
        label: what is being done, e.g. "training".
        unit: what is counted, e.g. "steps", "pictures".
        done: units already done, when work continues; they do not count for the rate.
        stream: where it is drawn; stderr by default.
    """

    def __init__(
        self, total: int, label: str, unit: str = "it", done: int = 0, stream: TextIO | None = None
    ) -> None:
        self.total = total
        self.label = label
        self.unit = unit
        self.done = done
        self._already = done
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._interval_s = _TTY_INTERVAL_S if self._live else _plain_interval_s()
        self._start = self._shown = time.monotonic()
        self._note = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._stream.write(f"\r\x1b[K{self.line()}\n")
            self._stream.flush()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Say that `count` more units are done; `note` (e.g. "loss 0.081") stays until the next one."""
        self.done += count
        self._note = note or self._note
        now = time.monotonic()
        if now - self._shown < self._interval_s:
            return
        self._shown = now
        self._stream.write(f"\r\x1b[K{self.line()}" if self._live else f"{self.line()}\n")
        self._stream.flush()

    def line(self) -> str:
        """Return the bar as one line of text, without an end of line."""
        share = self.done / self.total if self.total else 1.0
        filled = round(_BAR_WIDTH * min(share, 1.0))
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        parts = [f"{self.label} [{bar}] {self.done}/{self.total}", self._pace(), self._note]
        return "  ".join(part for part in parts if part)

    def _pace(self) -> str:
        elapsed_s = time.monotonic() - self._start
        fresh = self.done - self._already
        if fresh <= 0 or elapsed_s <= 0:
            return ""
        rate = fresh / elapsed_s
        if self.done >= self.total:
            return f"{rate:.3g} {self.unit}/s, {_clock(elapsed_s)} in all"
        return f"{rate:.3g} {self.unit}/s, {_clock((self.total - self.done) / rate)} left"


@overload
def track(work: int, label: str, total: int | None = None, unit: str = "it") -> Iterator[int]: ...
@overload
def track(work: Iterable[Item], label: str, total: int | None = None, unit: str = "it") -> Iterator[Item]: ...
def track(
    work: int | Iterable[Item], label: str, total: int | None = None, unit: str = "it"
) -> Iterator[int] | Iterator[Item]:
    """Yield from `work` while a progress bar is shown.

    Args:
        work: something to iterate over, or a number n for 0 … n-1.
        label: what is being done.
        total: number of items, where `work` cannot tell.
        unit: what is counted.
    """
    items: Iterable[int] | Iterable[Item] = range(work) if isinstance(work, int) else work
    if total is None:
        total = len(items) if isinstance(items, Sized) else 0
    with Progress(total, label, unit) as progress:
        for item in items:
            yield item
            progress.advance()


def _plain_interval_s() -> float:
    told = os.environ.get(EVERY, "")
    return float(told) if told.replace(".", "", 1).isdigit() else _PLAIN_INTERVAL_S


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
