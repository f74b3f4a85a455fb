"""Pictures become files in other threads, while the next ones are rendered."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from charaforge.jobstore.files import disk_full
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import Failure
from charaforge.jobstore.pictures import Stamp
from charaforge.jobstore.rendering import Picture
from charaforge.jobstore.spec import Item


class Committer:
    """Encodes and writes the pictures of one shard.

    Args:
        job: the job.
        executor: its threads.
        await_room: called where the disk is full; waits a little and returns whether to try again.
    """

    def __init__(self, job: Job, executor: Executor, await_room: Callable[[], bool]) -> None:
        self._job = job
        self._executor = executor
        self._await_room = await_room
        self._pending: dict[int, Future[Stamp | None]] = {}
        self.stamps: dict[int, Stamp] = {}

    @property
    def pending(self) -> list[int]:
        """Items that were rendered and may not be files yet."""
        return list(self._pending)

    def put(self, item: Item, picture: Picture, facts: Mapping[str, Any]) -> None:
        """Have a picture encoded and written, some time soon.

        Args:
            item: whose picture it is.
            picture: what was rendered.
            facts: what the sidecar shall say beside what the picture does.
        """
        self._pending[item.number] = self._executor.submit(self._commit, item, picture, facts)

    def wait(self) -> None:
        """Return when all pictures are files.

        Raises:
            OSError: one could not be written.
        """
        while self._pending:
            item, future = next(iter(self._pending.items()))
            del self._pending[item]
            stamp = future.result()
            if stamp is not None:
                self.stamps[item] = stamp

    def settle(self) -> None:
        """Return when nothing is being written any more, whatever came of it."""
        for future in self._pending.values():
            future.exception()
        self._pending.clear()

    def _commit(self, item: Item, picture: Picture, facts: Mapping[str, Any]) -> Stamp | None:
        try:
            data = picture.png()
        except (ValueError, TypeError) as error:
            words = f"the picture could not be written as a PNG: {error}"
            self._job.failures.write(Failure(item.number, "generation", words))
            return None
        found = hashlib.sha256(data).hexdigest()
        if item.expect and found != item.expect:
            words = f"the picture is not as it was: its sha256 is {found}, was {item.expect}"
            self._job.failures.write(Failure(item.number, "differs", words, "compare versions and devices"))
            return None
        note = {"note": dict(item.note)} if item.note else {}
        told = {**picture.facts(), **note, **facts}
        while True:
            try:
                return self._job.pictures.commit(item.number, data, told)
            except OSError as error:
                if not disk_full(error) or not self._await_room():
                    raise


class Stopwatch:
    """Milliseconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def ms(self) -> int:
        """Return them."""
        return round((time.monotonic() - self._start) * 1000)
