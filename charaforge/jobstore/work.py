"""A worker at one shard: claim it, render what is left of it, write it, mark it done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeVar

from charaforge.errors import CharaForgeError
from charaforge.jobstore.claims import Claim
from charaforge.jobstore.files import disk_full
from charaforge.jobstore.heart import Heart
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import Failure
from charaforge.jobstore.rendering import Renderer
from charaforge.jobstore.shard import ShardWork, Stopped
from charaforge.jobstore.store import JobStore
from charaforge.logs import get_logger

logger = get_logger(__name__)

Result = TypeVar("Result")
Outcome = Literal["done", "given back", "nothing to do"]
RunCommand = Callable[[Job, Callable[[], None]], Failure | None]
"""Runs the command of a job; calls its second argument now and then, which raises to stop it."""


class Worker:
    """Does shards, one at a time, in one thread.

    Args:
        store: the jobs.
        renderer: makes the pictures.
        run_command: does jobs that are a command.
        after: called with a job after something of it was done or given back.
        threads: how many encode and write pictures.
    """

    def __init__(
        self,
        store: JobStore,
        renderer: Renderer,
        run_command: RunCommand,
        after: Callable[[Job], None],
        threads: int = 2,
    ) -> None:
        self.store, self.renderer, self.run_command = store, renderer, run_command
        self.heart = Heart()
        self.draining = threading.Event()
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        self._after = after
        self._lock = threading.RLock()
        self._depth = 0

    def do(self, job_id: str, shard: int) -> Outcome:
        """Do a shard, unless somebody else does, or nothing is to be done."""
        job = self.store.find(job_id)
        if job is None or self.draining.is_set() or not 0 <= shard < job.spec.shards:
            return "nothing to do"
        if job.ended() or job.cancelled() or job.halted():
            return "nothing to do"
        with self._lock:
            try:
                claim = self._take(job, shard)
                return "nothing to do" if claim is None else self._hold(job, claim)
            except OSError as error:
                if not disk_full(error):
                    raise
                self._no_room(job)
            except CharaForgeError as error:
                logger.error("job %s is paused: %s", job.id, error)
                job.pause_for_fault(error.sentence)  # so that nobody tries again and again
        return "given back"

    def alone(self, act: Callable[[], Result]) -> Result:
        """Call something while nothing is being rendered; return what it returns."""
        with self._lock:
            return act()

    def close(self, patience_s: float = 60.0) -> None:
        """End, after what is at work: pictures that are rendered still become files.

        Args:
            patience_s: so long it is waited for; what takes longer is rendered again by others.
        """
        if self._lock.acquire(timeout=patience_s):
            try:
                self.executor.shutdown()
            finally:
                self._lock.release()

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._depth > 0

    def serve_waiting(self) -> None:
        """Do the interactive jobs that wait; called between two micro-batches of another job."""
        if self._depth > 1:
            return
        for job in self.store.interactive():
            for shard in range(job.spec.shards):
                self.do(job.id, shard)

    def _take(self, job: Job, shard: int) -> Claim | None:
        if job.files.exists(job.folder.done_mark(shard)):
            return None
        highest = job.claims.highest(shard)
        if not job.claims.free(highest):
            return None
        claim = job.claims.claim(shard, highest, "held", self.store.owner)
        if claim is not None and job.files.exists(job.folder.done_mark(shard)):
            job.claims.clear([shard])
            return None
        return claim

    def _hold(self, job: Job, claim: Claim) -> Outcome:
        self._depth += 1
        done = False
        try:
            with self.heart.holding(job, claim):
                ShardWork(self, job, claim).run()
            done = True
        except Stopped as stop:
            logger.info("job %s: shard %d is given back: %s", job.id, claim.shard, stop)
        finally:
            self._depth -= 1
            if not done and job.claims.mine(claim):
                job.claims.claim(claim.shard, claim, "released", self.store.owner)
        self._after(job)
        return "done" if done else "given back"

    def _no_room(self, job: Job) -> None:
        try:
            job.pause_for_room()
        except OSError:
            logger.warning("job %s: the disk is full, not even a mark can be written", job.id)
