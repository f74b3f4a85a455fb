"""Claims on shards: who shall do one, who does it, generation after generation.

    00042.lease.1   sent      a message for it went to the broker
    00042.lease.2   held      a worker renders it; the file's time is its heartbeat
    00042.lease.3   released  it was given back unfinished
    00042.lease.4   sent      …

A claim is made by the exclusive creation of the next generation, so that of several who try one succeeds; the
highest generation owns. None is ever changed, and none is deleted before the shard has a done mark. An owner
that was overtaken finds the next generation and gives up. Two owners at once, on a file system that
shows files late, only waste work: both write the same bytes.

Nothing here compares clocks. Whether a claim still lives is told by watching: its file's time has to change.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from charaforge.jobstore.files import Files, Stat
from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.owners import Owner, new_token
from charaforge.jobstore.spec import canonical

HEARTBEAT_S = 5.0
STALE_S = 20.0
Held = Literal["sent", "held", "released"]


@dataclass(frozen=True)
class Claim:
    """The highest claim on a shard.

    Attributes:
        shard: which one.
        generation: 1 or more.
        state: what it says.
        owner: who made it; None where the file does not tell.
        token: its own, unlike all others.
    """

    shard: int
    generation: int
    state: Held
    owner: Owner | None
    token: str


class Watch:
    """Remembers when a claim was last seen to change; one for each process.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, dict[int, tuple[str, Stat, float]]] = {}  # by job, by shard
        self._lock = threading.Lock()

    def age_s(self, job_id: str, claim: Claim, stat: Stat) -> float:
        """Return for how long a claim has been as it is now, as far as this process saw."""
        now = self._clock()
        with self._lock:
            seen = self._seen.setdefault(job_id, {})
            known = seen.get(claim.shard)
            if known is None or known[:2] != (claim.token, stat):
                known = seen[claim.shard] = claim.token, stat, now
            return now - known[2]

    def forget(self, job_id: str, shard: int) -> None:
        """Forget a shard that is done."""
        with self._lock:
            self._seen.get(job_id, {}).pop(shard, None)

    def keep(self, jobs: Collection[str]) -> None:
        """Forget all jobs but these."""
        with self._lock:
            for job_id in self._seen.keys() - set(jobs):
                del self._seen[job_id]


class Claims:
    """The claims of one job.

    Args:
        files: the disk.
        folder: of the job.
        watch: of this process.
    """

    def __init__(self, files: Files, folder: JobFolder, watch: Watch) -> None:
        self._files = files
        self._folder = folder
        self._watch = watch

    @property
    def _job_id(self) -> str:
        return self._folder.path.name

    def generations(self) -> dict[int, int]:
        """Return the highest generation of every shard that has a claim."""
        highest: dict[int, int] = {}
        for name in self._files.names(self._folder.leases):
            shard, _, generation = name.partition(".lease.")
            if generation.isdigit():
                highest[int(shard)] = max(highest.get(int(shard), 0), int(generation))
        return highest

    def untouched(self, shard: int, generation: int) -> bool:
        """Return whether nobody ever worked on a shard: its highest generation is the first, a message."""
        first = self._read(shard, generation) if generation == 1 else None
        return first is not None and first.state == "sent"

    def highest(self, shard: int, generation: int | None = None) -> Claim | None:
        """Return the highest claim on a shard.

        Args:
            shard: which one.
            generation: the highest that is known already; by default the folder is searched.
        """
        number = self.generations().get(shard, 0) if generation is None else generation
        found = self._read(shard, number) if number else None
        while (above := self._read(shard, number + 1)) is not None:  # listings may lag behind
            number, found = number + 1, above
        return found

    def claim(
        self, shard: int, after: Claim | None, state: Held, owner: Owner, least: int = 0
    ) -> Claim | None:
        """Make the next claim on a shard; return None where somebody else was faster.

        Args:
            shard: which one.
            after: the highest claim until now.
            state: what the new one says.
            owner: who makes it.
            least: the generation is above this one, too.
        """
        generation = max(after.generation if after else 0, least) + 1
        claim = Claim(shard, generation, state, owner, new_token())
        told = {"state": state, "token": claim.token, "owner": owner.plain()}
        made = self._files.create(self._folder.lease_of(shard, generation), canonical(told))
        return claim if made else None

    def free(self, claim: Claim | None) -> bool:
        """Return whether a worker may take a shard whose highest claim this is."""
        return claim is None or claim.state != "held" or self.lost(claim)

    def lost(self, claim: Claim) -> bool:
        """Return whether the holder of a claim is gone: dead for sure, or without a heartbeat for STALE_S."""
        if claim.owner is not None and claim.owner.dead():
            return True
        return self.age_s(claim) >= STALE_S

    def age_s(self, claim: Claim) -> float:
        """Return for how long this process has seen a claim without a heartbeat."""
        stat = self._files.fresh_stat(self._folder.lease_of(claim.shard, claim.generation))
        return 0.0 if stat is None else self._watch.age_s(self._job_id, claim, stat)

    def mine(self, claim: Claim) -> bool:
        """Return whether a claim is still the highest, and its shard not done by somebody else."""
        above = self._folder.lease_of(claim.shard, claim.generation + 1)
        return not self._files.exists(above) and not self._files.exists(self._folder.done_mark(claim.shard))

    def beat(self, claim: Claim) -> bool:
        """Tell that the holder lives; return whether the claim is still its own."""
        there = self._files.touch(self._folder.lease_of(claim.shard, claim.generation))
        return there and self.mine(claim)

    def clear(self, shards: Iterable[int], generations: dict[int, int] | None = None) -> None:
        """Delete the claims on shards that are done."""
        highest = self.generations() if generations is None else generations
        for shard in shards:
            for generation in range(1, highest.get(shard, 0) + 1):
                self._files.remove(self._folder.lease_of(shard, generation))
            self._watch.forget(self._job_id, shard)

    def _read(self, shard: int, generation: int) -> Claim | None:
        data = self._files.read(self._folder.lease_of(shard, generation))
        if data is None:
            return None
        claim = Claim(shard, generation, "held", None, f"unread-{generation}")
        try:
            told: dict[str, Any] = json.loads(data)
            state, token = told["state"], str(told["token"])
        except (ValueError, KeyError, TypeError):
            return claim  # somebody is just writing it, or died over it
        known: tuple[Held, ...] = ("sent", "held", "released")
        if state not in known:
            return claim
        return replace(claim, state=state, token=token, owner=Owner.read(told.get("owner")))
