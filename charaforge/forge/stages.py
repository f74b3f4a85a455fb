"""Stages of a road that can be stopped and walked again: each leaves a mark when it is done."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.logs import get_logger
from charaforge.warehouse.atomic import write_json

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a finished stage left behind.

    Attributes:
        key: Hash of everything that decided its outcome.
        seconds: Time it took, over all attempts, s.
        done: Whether it is finished; an unfinished one only counts its time.
    """

    key: str
    seconds: float
    done: bool


class Stages:
    """Runs the stages of one road.

    Args:
        folder: Where the marks lie; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, name: str, inputs: Any, work: Callable[[], object]) -> float:
        """Do the work of a stage, unless it is done and its inputs are the same.

        Work that is stopped must be able to go on by itself when it is called again.

        Args:
            name: Name of the stage, also of its mark.
            inputs: Everything that decides its outcome, as JSON values.
            work: Does it; its result is not kept.

        Returns:
            Seconds the stage took, over all attempts.
        """
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        mark = self._read(name)
        if mark is None or mark.key != key:
            mark = Mark(key, 0.0, done=False)
        if mark.done:
            logger.info("%s: done before, in %.0f s", name, mark.seconds)
            return mark.seconds
        started, done = time.monotonic(), False
        try:
            work()
            done = True
        finally:
            mark = Mark(key, mark.seconds + time.monotonic() - started, done)
            write_json(self._folder / f"{name}.json", {"key": key, "seconds": mark.seconds, "done": done})
        return mark.seconds

    def _read(self, name: str) -> Mark | None:
        path = self._folder / f"{name}.json"
        if not path.is_file():
            return None
        try:
            return Mark(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return None  # not ours, or of another version: the stage is done again
