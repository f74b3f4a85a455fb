"""What happened in a job, line by line: for people and for streams; nothing is decided by it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from charaforge.jobstore.files import Files
from charaforge.jobstore.folder import JobFolder

_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Event:
    """One line.

    Attributes:
        after: where the next one begins, in bytes: what a stream resumes from.
        name: "submitted", "shard-done", "item-failed", "paused", "resumed", "cancelled", "reopened",
            "finished" …
        at: ISO 8601, UTC.
        facts: what else it says.
    """

    after: int
    name: str
    at: str
    facts: dict[str, Any]


class Events:
    """The events of one job.

    Args:
        files: the disk.
        folder: of the job.
    """

    def __init__(self, files: Files, folder: JobFolder) -> None:
        self._files = files
        self._folder = folder

    def tell(self, name: str, **facts: Any) -> None:
        """Append an event; where that fails it is not told."""
        line = {"event": name, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        with contextlib.suppress(OSError):
            self._files.append(self._folder.events, json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def since(self, after: int = 0) -> list[Event]:
        """Return the events from a place on, at most some thousand at a time; broken lines are left out."""
        try:
            data = self._files.read_range(self._folder.events, after, _CHUNK)
        except FileNotFoundError:
            return []
        found: list[Event] = []
        for line in data.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            after += len(line)
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                found.append(Event(after, told.pop("event"), told.pop("at"), told))
        return found
