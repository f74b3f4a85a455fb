"""What lies where in the folder of one job. `docs/jobs.md` describes every file."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

PER_FOLDER = 1000
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, lower case


def new_job_id() -> str:
    """Return a ULID in lower case: 26 characters, sorted by the time they were made."""
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


@dataclass(frozen=True)
class JobFolder:
    """The files of one job.

    Args:
        path: `…/batches/<job_id>`.
    """

    path: Path

    @property
    def spec(self) -> Path:
        """What is to be done; never changed."""
        return self.path / "spec.json"

    @property
    def items(self) -> Path:
        """One line for each item, in the order of shards; never changed."""
        return self.path / "items.jsonl"

    @property
    def items_index(self) -> Path:
        """For each item by its number, where its line begins: 8 bytes each, little endian."""
        return self.path / "items.idx"

    @property
    def shards_index(self) -> Path:
        """For each shard, where its first line begins, and at last where the last line ends."""
        return self.path / "shards.idx"

    @property
    def cancel(self) -> Path:
        """Its presence stops the job for good."""
        return self.path / "CANCEL"

    @property
    def pause(self) -> Path:
        """Its presence halts the job: somebody asked for it."""
        return self.path / "PAUSE"

    @property
    def disk_pause(self) -> Path:
        """Its presence halts the job: the disk is full. It goes by itself."""
        return self.path / "PAUSE.disk"

    @property
    def fault_pause(self) -> Path:
        """Its presence halts the job: it says why nobody can go on, until somebody has mended that."""
        return self.path / "PAUSE.fault"

    @property
    def finished(self) -> Path:
        """How the job ended."""
        return self.path / "FINISHED.json"

    @property
    def progress(self) -> Path:
        """How far the item at work is; advisory."""
        return self.path / "progress.json"

    @property
    def events(self) -> Path:
        """What happened, line by line; advisory."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """What the command of the job said."""
        return self.path / "log.txt"

    @property
    def scores(self) -> Path:
        """How much the pictures look like their characters, where that was measured."""
        return self.path / "scores.json"

    @property
    def leases(self) -> Path:
        """Folder of the claims on shards."""
        return self.path / "leases"

    @property
    def done(self) -> Path:
        """Folder of the done marks."""
        return self.path / "done"

    @property
    def tries(self) -> Path:
        """Folder of what is being tried."""
        return self.path / "tries"

    @property
    def weights(self) -> Path:
        """Folder of the weights that the pictures are made with."""
        return self.path / "weights"

    @property
    def failures(self) -> Path:
        """Folder of the items that failed."""
        return self.path / "failures"

    def lease_of(self, shard: int, generation: int) -> Path:
        """Return the claim of one generation on a shard."""
        return self.leases / f"{shard:05}.lease.{generation}"

    def done_mark(self, shard: int) -> Path:
        """Return the done mark of a shard."""
        return self.done / f"{shard:05}.json"

    def alone_try(self, item: int, attempt: int) -> Path:
        """Return what says that an item is being rendered alone, for the nth time."""
        return self.tries / f"{item:06}.alone.{attempt}"

    def failure(self, item: int) -> Path:
        """Return what says why an item failed."""
        return self.failures / f"{item:06}.json"


def picture_path(out: Path, item: int, total: int) -> Path:
    """Return the PNG of an item: `0001.png`, in folders of 1,000 where there are more than that."""
    folder = out if total <= PER_FOLDER else out / f"{(item - 1) // PER_FOLDER:03}"
    return folder / f"{item:04}.png"
