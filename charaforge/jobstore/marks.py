"""What is written about shards and items while they are worked on: done marks, tries, failures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from charaforge.errors import CharaForgeError
from charaforge.jobstore.files import Files
from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.pictures import Stamp
from charaforge.jobstore.spec import canonical

ATTEMPTS = 3  # crashes while alone, after which an item is given up


@dataclass(frozen=True)
class DoneMark:
    """A shard of which every item is done or failed.

    Attributes:
        shard: which one.
        generation: of the claim that it was done under.
        worker: who finished it.
        ended_s: when, in seconds since 1970, by that worker's clock.
        stamps: of the pictures that are done, by item.
        failed: items that failed.
    """

    shard: int
    generation: int
    worker: str
    ended_s: float
    stamps: Mapping[int, Stamp]
    failed: Sequence[int]

    def data(self) -> bytes:
        """Return the file's content."""
        stamps = {str(item): list(stamp) for item, stamp in self.stamps.items()}
        told = {"shard": self.shard, "generation": self.generation, "worker": self.worker}
        return canonical({**told, "ended_s": self.ended_s, "pictures": stamps, "failed": list(self.failed)})

    @staticmethod
    def read(data: bytes) -> DoneMark | None:
        """Return the mark that a file holds, or nothing."""
        try:
            told = json.loads(data)
            stamps = {int(item): tuple(stamp) for item, stamp in told["pictures"].items()}
            place = int(told["shard"]), int(told["generation"]), str(told["worker"]), float(told["ended_s"])
            return DoneMark(*place, stamps, [int(item) for item in told["failed"]])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


@dataclass(frozen=True)
class Failure:
    """Why an item failed.

    Attributes:
        item: its number.
        slug: kind of error, as in `charaforge.errors`; "quarantined" for one that ended workers.
        message: what happened.
        hint: what to do.
        attempts: how often it was tried.
        at: ISO 8601, UTC.
    """

    item: int
    slug: str
    message: str
    hint: str = ""
    attempts: int = 1
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @staticmethod
    def of(item: int, error: CharaForgeError) -> Failure:
        """Return the failure of an item by an error of the library."""
        return Failure(item, error.slug, error.message, error.hint)


class ShardTry:
    """Which items of a shard are being rendered, written down before it begins; what a crash leaves.

    Each time is a file of its own: ext4 flushes a file that takes the place of another one, which would cost
    more than all the rest.

    Args:
        files: the disk.
        folder: of the job.
        shard: which one.
        generation: of the claim that it is done under.
    """

    def __init__(self, files: Files, folder: JobFolder, shard: int, generation: int) -> None:
        self._files = files
        self._folder = folder
        self._prefix = f"{shard:05}."
        self._generation = generation
        self._count = 0
        self._written = [name for name in files.names(folder.tries) if name.startswith(self._prefix)]

    def suspects(self) -> set[int]:
        """Return the items that were at work when a worker ended unexpectedly, done since or not."""
        found: set[int] = set()
        for name in self._written:
            data = self._files.read(self._folder.tries / name)
            try:
                told = json.loads(data) if data else {}
                found |= {int(item) for key in ("suspects", "group") for item in told.get(key, [])}
            except (ValueError, TypeError, AttributeError):
                continue
        return found

    def begin(self, suspects: Iterable[int], group: Iterable[int]) -> None:
        """Write down that a group of items is about to be rendered together."""
        self._count += 1
        name = f"{self._prefix}{self._generation}-{self._count}.json"
        told = {"suspects": sorted(suspects), "group": sorted(group)}
        self._files.write(self._folder.tries / name, canonical(told))
        self._remove()
        self._written = [name]

    def end(self, suspects: Iterable[int] = ()) -> None:
        """Write down that none is at work any more; suspects stay so."""
        left = sorted(suspects)
        if left:
            self.begin(left, ())
        else:
            self._remove()

    def _remove(self) -> None:
        for name in self._written:
            self._files.remove(self._folder.tries / name)
        self._written = []


class Tries:
    """How often items were tried alone.

    Args:
        files: the disk.
        folder: of the job.
    """

    def __init__(self, files: Files, folder: JobFolder) -> None:
        self._files = files
        self._folder = folder

    def alone(self, item: int) -> int:
        """Return how often an item was begun alone and not ended."""
        count = 0
        while count < ATTEMPTS and self._files.exists(self._folder.alone_try(item, count + 1)):
            count += 1
        return count

    def begin_alone(self, item: int) -> int:
        """Count an attempt, before it is made; return which one it is, from 1."""
        number = self.alone(item) + 1
        self._files.write(self._folder.alone_try(item, number), b"")
        return number

    def end_alone(self, item: int, number: int) -> None:
        """Take back an attempt that ended in an orderly way."""
        self._files.remove(self._folder.alone_try(item, number))

    def forget(self, item: int) -> None:
        """Forget all attempts of an item."""
        for number in range(1, ATTEMPTS + 1):
            self._files.remove(self._folder.alone_try(item, number))


class Failures:
    """The items of a job that failed.

    Args:
        files: the disk.
        folder: of the job.
    """

    def __init__(self, files: Files, folder: JobFolder) -> None:
        self._files = files
        self._folder = folder

    def write(self, failure: Failure) -> None:
        """Write down that an item failed."""
        self._files.write(self._folder.failure(failure.item), canonical(failure.__dict__))

    def read(self, item: int) -> Failure | None:
        """Return why an item failed; None where it did not."""
        data = self._files.read(self._folder.failure(item))
        if data is None:
            return None
        try:
            told: dict[str, Any] = json.loads(data)
            return Failure(**told)
        except (ValueError, TypeError):
            return None

    def failed(self, item: int) -> bool:
        """Return whether an item failed."""
        return self._files.exists(self._folder.failure(item))

    def items(self) -> list[int]:
        """Return the numbers of the items that failed, ascending."""
        names = self._files.names(self._folder.failures)
        return sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit())

    def remove(self, item: int) -> None:
        """Forget that an item failed."""
        self._files.remove(self._folder.failure(item))
