"""Which shards are due: few at a time, so that batches share the workers and a cancelled one is soon gone.

A shard is sent when a worker is told of it; a claim says so. What was sent and not begun for long, what was
given back, and what a lost worker held, is sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from charaforge.errors import CharaForgeError
from charaforge.jobstore.claims import Claim
from charaforge.jobstore.finishing import finish
from charaforge.jobstore.job import Job
from charaforge.jobstore.store import JobStore
from charaforge.logs import get_logger

logger = get_logger(__name__)

PER_WORKER = 4
RESEND_S = 60.0  # sent, and nobody began
RESEND_IDLE_S = 8.0  # the same, while the broker says that nothing waits
MEND_EVERY = 60  # rounds

Send = Callable[[Job, int], None]
"""Tells the workers of a shard; may raise where the broker cannot be reached."""


def _nothing_known() -> bool:
    return False


def _nothing_more(job: Job) -> None:
    """Do nothing with a job that is about to end."""


@dataclass
class Dispatcher:
    """Sends shards.

    Args:
        store: the jobs.
        send: tells workers of one.
        workers: how many there are.
        broker_empty: whether surely no message waits.
        own_broker: whether messages end with this process, so that those of others are lost.
        finished: called with a job that is about to end, perhaps by several processes and more than once.
    """

    store: JobStore
    send: Send
    workers: Callable[[], int]
    broker_empty: Callable[[], bool] = _nothing_known
    own_broker: bool = False
    finished: Callable[[Job], None] = _nothing_more
    _frontier: dict[str, int] = field(default_factory=dict)
    _rounds: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def top_up(self, job: Job) -> None:
        """Send what is due of a job, and end it where all is done."""
        if job.ended():
            return
        if job.cancelled():
            finish(job)
            return
        if job.halted():
            return
        live, due = self._claimed(job, patient=True)
        room = PER_WORKER * max(1, self.workers()) - live
        if not self._send_all(job, due):
            return
        for shard in self._fresh(job, room - len(due)):
            if not self._send(job, shard, None):
                return
        if live or due or self._frontier.get(job.id, 0) < job.spec.shards:
            return
        if finish(job, self.finished):
            return
        self._frontier[job.id] = 0  # a mark or a picture is gone: look at all shards again
        self._send_all(job, self._claimed(job, patient=True)[1])

    def reconcile(self) -> None:
        """Look at all unfinished jobs: send again what was lost, let paused ones go on, end what is done."""
        if self._rounds % MEND_EVERY == 0:
            self.store.mend_index()
        self._rounds += 1
        opens = self.store.opens.list()
        self._forget(frozenset(job_id for job_id, _ in opens))
        for job_id, queue in opens:
            job = self.store.find(job_id)
            if job is None:
                continue  # about to be published, or left over: `mend_index` of a later day
            if job.ended():
                self.store.opens.remove(job_id, queue)
                continue
            try:
                self._reconcile(job)
            except (OSError, CharaForgeError) as error:  # of this job alone: the others go on
                logger.warning("job %s: %s", job_id, error)

    def _reconcile(self, job: Job) -> None:
        if job.files.exists(job.folder.disk_pause) and job.files.much_room(self.store.root):
            job.files.remove(job.folder.disk_pause)
            job.events.tell("resumed", by="disk")
        if not job.cancelled() and not job.halted():
            self._send_all(job, self._claimed(job, patient=False)[1])
        self.top_up(job)

    def _forget(self, unfinished: frozenset[str]) -> None:
        """Forget what is remembered of jobs that have ended, whoever ended them."""
        self.store.watch.keep(unfinished)
        with self._lock:
            for job_id in self._frontier.keys() - unfinished:
                del self._frontier[job_id]

    def _claimed(self, job: Job, patient: bool) -> tuple[int, list[tuple[int, Claim]]]:
        """Return how many shards are on their way, and those that are due again.

        Args:
            job: the job.
            patient: only count as due what was given back, not what seems lost.
        """
        live, due = 0, []
        for shard, generation in sorted(job.claims.generations().items()):
            if shard >= job.spec.shards:
                continue
            if job.files.exists(job.folder.done_mark(shard)):
                job.claims.clear([shard])  # its worker was lost in between
                continue
            claim = job.claims.highest(shard, generation)
            if claim is None:
                continue
            if claim.state == "released" or (not patient and self._lost(job, claim)):
                due.append((shard, claim))
            else:
                live += 1
        return live, due

    def _lost(self, job: Job, claim: Claim) -> bool:
        """Return whether nobody will do, or is doing, what a claim says."""
        if claim.state == "held":
            return job.claims.lost(claim)
        if self.own_broker and claim.owner != self.store.owner:
            return True
        age_s = job.claims.age_s(claim)
        return age_s >= RESEND_S or (age_s >= RESEND_IDLE_S and self.broker_empty())

    def _fresh(self, job: Job, count: int) -> Iterator[int]:
        """Yield up to `count` shards that were never claimed, in order."""
        claimed = job.claims.generations()
        while count > 0:
            with self._lock:
                shard = self._frontier.get(job.id, 0)
                if shard >= job.spec.shards:
                    return
                self._frontier[job.id] = shard + 1
            if shard not in claimed and not job.files.exists(job.folder.done_mark(shard)):
                count -= 1
                yield shard

    def _send_all(self, job: Job, due: Iterable[tuple[int, Claim]]) -> bool:
        return all(self._send(job, shard, claim) for shard, claim in due)

    def _send(self, job: Job, shard: int, after: Claim | None) -> bool:
        """Send a shard; return False where the broker is away.

        Each try may take as long as the broker's client waits, so the next one is for the next round.
        """
        claim = job.claims.claim(shard, after, "sent", self.store.owner)
        if claim is None:
            return True  # somebody else sends it
        try:
            self.send(job, shard)
        except Exception as error:  # whatever the broker's client raises
            logger.warning("job %s: shard %d could not be sent: %s", job.id, shard, error)
            job.claims.claim(shard, claim, "released", self.store.owner)
            return False
        return True
