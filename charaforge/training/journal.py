"""events.jsonl: what happened in a run, one JSON object per line, each with its `event` and `step`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from charaforge.warehouse.atomic import write_text


class Journal:
    """Appends events to a file.

    Args:
        path: the file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: str, step: int, **values: Any) -> None:
        """Append one event."""
        self.write_all([{"event": event, "step": step, **values}])

    def write_all(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Append events, each with its `event` and `step`."""
        lines = [json.dumps(event, ensure_ascii=False) + "\n" for event in events]
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("".join(lines))

    def clear(self) -> None:
        """Begin an empty file."""
        write_text(self._path, "")

    def forget_after(self, step: int) -> None:
        """Drop the events of steps beyond `step`: the run goes on from there and will write them again."""
        kept = [json.dumps(e, ensure_ascii=False) for e in read_events(self._path) if e["step"] <= step]
        write_text(self._path, "".join(line + "\n" for line in kept))


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a file, of which the last line may be cut off; nothing where there is no file."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
