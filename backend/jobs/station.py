"""What a process has that takes part in the jobs of a warehouse: its store, its heartbeat, perhaps a worker.

The API has a station that sends and mends; a Celery worker has one that works, too; the embedded API has both
in one. Its threads beat every HEARTBEAT_S and reconcile every RECONCILE_S. Where messages fail to come, the
worker looks into the files by itself, so that Redis only decides how soon something is begun.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable

from celery import Celery

from backend.jobs.broker import EMBEDDED, queue_length
from backend.jobs.commands import run_command
from backend.jobs.measuring import Measured, Meter
from backend.jobs.models import make_renderer
from backend.jobs.reports import keeping_reports
from charaforge.errors import JobConflictError
from charaforge.jobstore.claims import HEARTBEAT_S
from charaforge.jobstore.dispatch import Dispatcher
from charaforge.jobstore.heart import Workers
from charaforge.jobstore.job import Job
from charaforge.jobstore.rendering import Renderer
from charaforge.jobstore.store import JobStore
from charaforge.jobstore.work import Worker
from charaforge.logs import get_logger
from charaforge.warehouse.layout import Warehouse

logger = get_logger(__name__)

SHARD = "charaforge.shard"
RECONCILE_S = 10.0
PATIENCE_S = 8.0  # a shard was sent so long ago, and no message of it has come
COUNT_EVERY_S = 2.0
LONG_NAME = 120  # characters; names of jobs have 128 at most


class Station:
    """A process's part in the jobs of a warehouse.

    Args:
        app: the Celery app.
        warehouse: where the jobs are.
        works: whether it does jobs, or only sends them.
    """

    def __init__(self, app: Celery, warehouse: Warehouse, works: bool) -> None:
        self.app, self.works = app, works
        self.embedded = app.conf.broker_url == EMBEDDED
        self.store = JobStore(warehouse)
        self.workers = Workers(self.store.files, self.store.root / ".workers")
        self.dispatcher = Dispatcher(
            self.store, self._send, self._count, self._nothing_waits, self.embedded, self._finished
        )
        self.meter = Meter()
        self.renderer: Renderer | None = None
        self.worker: Worker | None = None
        if works:
            self.renderer = make_renderer(warehouse)
            measured = Measured(self.renderer, self.meter)
            run = keeping_reports(run_command)
            self.worker = Worker(self.store, measured, run, self.dispatcher.top_up)
        self._ended, self._gone = threading.Event(), threading.Event()
        self._heart = self._again(self._beat, HEARTBEAT_S, self._gone)
        self._mender = self._again(self._mend, RECONCILE_S, self._ended)
        self._idle = self._again(self._look, HEARTBEAT_S, self._ended)
        self._counted: tuple[float, int] = -COUNT_EVERY_S, 1

    def start(self) -> None:
        """Begin to live: beat, reconcile, look."""
        self._mender.start()
        if self.worker is not None:
            self._heart.start()
            self._idle.start()

    def drain(self) -> None:
        """Begin nothing new; what is at work ends after its micro-batch, and until then its claim lives."""
        if self.worker is not None:
            self.worker.draining.set()
        self._ended.set()

    def stop(self) -> None:
        """End, after what is at work."""
        self.drain()
        if self.worker is not None:
            self.worker.close()
        self._gone.set()
        for thread in (self._mender, self._idle, self._heart):
            if thread.is_alive():
                thread.join()
        if self.worker is not None:
            with contextlib.suppress(OSError):
                self.workers.leave(self.store.owner)

    def alive(self) -> bool:
        """Return whether somebody does jobs."""
        return self.works or any(view.alive for view in self.workers.list())

    def _again(self, what: Callable[[], None], every_s: float, end: threading.Event) -> threading.Thread:
        """Return a thread that does something again and again, until `end`.

        Each has its own: a heart must not wait for a broker that does not answer, or for a look at all jobs.
        """

        def live() -> None:
            while True:
                try:
                    what()
                except Exception:  # it must live on: a full disk, a warehouse that is away for a while
                    logger.exception("the station goes on")
                if end.wait(every_s):
                    return

        return threading.Thread(target=live, name=f"station{what.__name__}", daemon=True)

    def _mend(self) -> None:
        self.dispatcher.reconcile()

    def _beat(self) -> None:
        if self.worker is not None:
            self.worker.heart.beat()
            facts = {"embedded": self.embedded, **self.meter.facts()}
            self.workers.tell(self.store.owner, self.worker.heart.holds, **facts)

    def _look(self) -> None:
        """Do what was sent long ago and has not come, while nothing else is to be done."""
        worker = self.worker
        for job in self.store.unfinished() if worker is not None else ():
            if job.cancelled() or job.halted():
                continue
            for shard, generation in sorted(job.claims.generations().items()):
                if worker is None or worker.busy or self._ended.is_set():
                    return
                claim = job.claims.highest(shard, generation)
                if claim is None or claim.state != "sent" or shard >= job.spec.shards:
                    continue
                if job.claims.age_s(claim) >= PATIENCE_S:
                    worker.do(job.id, shard)

    def _send(self, job: Job, shard: int) -> None:
        self.app.send_task(SHARD, args=(job.id, shard), queue=job.spec.queue, retry=False, ignore_result=True)

    def _count(self) -> int:
        """Return how many workers live, at least 1."""
        if self.embedded:
            return 1
        now = time.monotonic()
        if now - self._counted[0] >= COUNT_EVERY_S:
            self._counted = now, sum(view.alive for view in self.workers.list())
        return self._counted[1]

    def _finished(self, job: Job) -> None:
        """Let the pictures of a batch be scored, where that was asked for."""
        if not job.spec.options.get("score") or job.spec.kind != "batch":
            return
        try:
            self.score(job, f"{job.id}-score" if len(job.id) <= LONG_NAME else f"{digest_of(job.id)}-score")
        except JobConflictError as error:  # somebody gave a job of his that name
            logger.warning("the pictures of %s are not scored: %s", job.id, error.message)

    def score(self, job: Job, job_id: str = "") -> Job:
        """Make the job that scores the pictures of a batch, once for each name."""
        made = self.store.submit_command("score", ["score", job.id], job_id=job_id, fingerprint=job.id)
        self.dispatcher.top_up(made)
        return made

    def _nothing_waits(self) -> bool:
        return queue_length(self.app) == 0


def digest_of(name: str) -> str:
    """Return what stands for a name that is too long, or may be anything."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


_stations: dict[int, Station] = {}


def install(station: Station) -> Station:
    """Make a station that of its app, for the app's tasks to find."""
    _stations[id(station.app)] = station
    return station


def station_of(app: Celery) -> Station:
    """Return the station of an app.

    Raises:
        LookupError: it has none: this process was not started to do jobs.
    """
    return _stations[id(app)]
