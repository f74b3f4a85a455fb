"""What routes do with jobs: submit one, wait for its picture, stop it, tell how far it is.

Jobs are files (`charaforge.jobstore`), so that every process of the warehouse knows all of them, also
after a restart.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeout
from kombu.exceptions import OperationalError

from backend.core.json_logs import current
from backend.core.problems import ProblemError, plain_problem, problem_of_slug
from backend.jobs.broker import EMBEDDED, WORKER_COMMAND, answers
from backend.jobs.embedded import EmbeddedWorker
from backend.jobs.station import Station, digest_of, install
from backend.jobs.tasks import FOLLOW_PINS
from charaforge.errors import JobConflictError, UnknownNameError
from charaforge.jobstore.job import Job
from charaforge.jobstore.spec import Queue, Wish, canonical
from charaforge.jobstore.store import JobStore
from charaforge.logs import get_logger
from charaforge.requests.answers import PictureReply, Problem
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse

WAIT_S = 600.0
POLL_S = 0.004
SLOW_POLL_S = 0.05
SOON_S = 5.0  # until then it is looked for often
WORKER_TRUST_S = 2.0
BROKER_ANSWER_S = 2.0
MAX_WAITING = 32  # interactive jobs that are not done; below the threads that the API has for waiting
RETRY_AFTER_S = 5
_KEY = re.compile(r"key-[0-9a-f]{32}")
logger = get_logger(__name__)


class JobQueue:
    """The jobs of a warehouse, as an API process deals with them.

    Args:
        app: the Celery app.
        warehouse: where the jobs are.
    """

    def __init__(self, app: Celery, warehouse: Warehouse) -> None:
        self._app = app
        embedded = app.conf.broker_url == EMBEDDED
        self._embedded = EmbeddedWorker(app, warehouse.batches / "embedded.lock") if embedded else None
        self.station = install(Station(app, warehouse, works=embedded))
        self._seen_s = -WORKER_TRUST_S

    @property
    def store(self) -> JobStore:
        """The jobs as files."""
        return self.station.store

    @property
    def place(self) -> str:
        """Where jobs are done: "embedded" or "workers"."""
        return "workers" if self._embedded is None else "embedded"

    def start(self) -> None:
        """Begin to send and mend jobs, and start the embedded worker, where there is one."""
        if self._embedded is not None:
            self._embedded.start()
        self.station.start()

    def stop(self) -> None:
        """End; the micro-batch at work is finished, what is left goes on after the next start."""
        self.station.drain()
        if self._embedded is not None:
            self._embedded.stop()
        self.station.stop()

    def submit(self, request: GenerationRequest, key: str = "") -> Job:
        """Make a job of one picture that somebody waits for, once for each Idempotency-Key.

        Args:
            request: the picture.
            key: the Idempotency-Key; "" = none.

        Raises:
            ProblemError: no worker is there or too many jobs wait (503); the key is at work or stands for
                another request (409).
        """
        fingerprint = hashlib.sha256(canonical(request.plain())).hexdigest()
        job_id = job_id_of(key)
        known = self.repeated(job_id, fingerprint)
        if known is not None:
            return known
        self.need_room()
        return self.submit_pictures([Wish(request)], "picture", "interactive", job_id, fingerprint)

    def submit_pictures(
        self,
        wishes: Iterable[Wish],
        kind: str = "batch",
        queue: Queue = "batch",
        job_id: str = "",
        fingerprint: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> Job:
        """Make a job of pictures and let workers begin; see `JobStore.submit`.

        Raises:
            ProblemError: no worker is there (503), or the name stands for another job (see `taken`).
            CharaForgeError: see `JobStore.submit`.
        """
        self.need_worker()
        noted = {**(options or {}), **_asked_by()}
        return self._sent(
            job_id,
            lambda: self.store.submit(
                wishes, kind=kind, job_id=job_id, queue=queue, fingerprint=fingerprint, options=noted
            ),
        )

    def submit_command(
        self, kind: str, command: Sequence[str], job_id: str = "", fingerprint: str = ""
    ) -> Job:
        """Make a job that runs a verb of `charaforge` and let a worker begin; see `JobStore.submit_command`.

        Raises:
            ProblemError: no worker is there (503), or the name stands for another job (see `taken`).
        """
        self.need_worker()
        return self._sent(
            job_id,
            lambda: self.store.submit_command(
                kind, command, job_id=job_id, fingerprint=fingerprint, options=_asked_by()
            ),
        )

    def repeated(self, job_id: str, fingerprint: str) -> Job | None:
        """Return the finished job of an Idempotency-Key, or nothing where the key is new.

        Raises:
            ProblemError: the key stands for another request, or its job is still at work (409).
        """
        job = self.store.find(job_id) if job_id else None
        if job is None:
            return None
        if job.spec.fingerprint != fingerprint:
            raise taken(job_id)
        if not job.ended():
            told = f"the request with this Idempotency-Key is still at work; see /api/v1/jobs/{job.id}"
            raise ProblemError(plain_problem(409, told, "idempotency"), {"Retry-After": str(RETRY_AFTER_S)})
        return job

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            ProblemError: 404.
        """
        try:
            return self.store.job(job_id)
        except UnknownNameError:
            told = f"there is no job {job_id[:80]!r}"
            raise ProblemError(plain_problem(404, told, "unknown-job")) from None

    def unfinished(self) -> list[Job]:
        """Return the jobs that somebody waits for and that are not done, oldest first."""
        return [job for job in self.store.interactive() if not job.ended() and not job.cancelled()]

    def waiting(self) -> int:
        """Return how many jobs there are that somebody waits for."""
        return sum(queue == "interactive" for _, queue in self.store.opens.list())

    def need_room(self) -> None:
        """Raise 503 where too many jobs wait."""
        waiting = self.waiting()
        if waiting >= MAX_WAITING:
            told = f"{waiting} jobs wait already; try again in {RETRY_AFTER_S} s"
            raise ProblemError(plain_problem(503, told, "queue-full"), {"Retry-After": str(RETRY_AFTER_S)})

    def wait(self, job: Job) -> PictureReply:
        """Return the picture of a job.

        Raises:
            ProblemError: the job was refused (as the job says) or cancelled (409), or it takes longer than
                WAIT_S (504).
        """
        start = time.monotonic()
        while (outcome := job.outcome()) is None:
            waited = time.monotonic() - start
            if waited > WAIT_S:
                told = f"the job is not done after {WAIT_S:.0f} s; see /api/v1/jobs/{job.id}"
                raise ProblemError(plain_problem(504, told, "timeout"))
            time.sleep(POLL_S if waited < SOON_S else SLOW_POLL_S)
        if outcome["state"] == "cancelled":
            raise ProblemError(plain_problem(409, f"the job {job.id} was cancelled", "cancelled"))
        problem = problem_of_job(job)
        reply = picture_of(job)
        if problem is not None or reply is None:
            raise ProblemError(problem or plain_problem(500, "the picture is gone again", "fault"))
        return reply

    def cancel(self, job: Job) -> None:
        """Ask for a job to be stopped; one that is at work ends after its current step."""
        try:
            job.cancel()
        except JobConflictError:
            return
        self.wake(job)

    def wake(self, job: Job) -> None:
        """Let workers begin with what is due of a job; where that fails now, it is tried again by itself."""
        try:
            self.station.dispatcher.top_up(job)
        except OSError as error:  # what was asked for is written down, and must not be taken for refused
            logger.warning("job %s is sent later: %s", job.id, error)

    def follow_pins(self, lora: str = "") -> None:
        """Let a worker load and free LoRAs as they are pinned now; others do so with their next job.

        Args:
            lora: the LoRA that shall be loaded then.

        Raises:
            ProblemError: no worker or broker is there (503), or this LoRA cannot be loaded (it says why).
        """
        self.need_worker()
        try:
            result = self._app.send_task(FOLLOW_PINS)
            # a solo worker sets a process-wide flag that makes waiting look like waiting inside a task
            answer = result.get(WAIT_S, propagate=False, interval=0.005, disable_sync_subtasks=False)
        except (OperationalError, OSError) as error:
            raise ProblemError(plain_problem(503, f"the broker is away: {error}", "no-broker")) from None
        except CeleryTimeout:
            raise ProblemError(plain_problem(504, "no worker followed the pins", "timeout")) from None
        result.forget()
        if isinstance(answer, dict) and lora in answer:
            raise ProblemError(Problem.model_validate(answer[lora]))

    def need_worker(self) -> None:
        """Raise 503 unless a worker is there; that one was seen just now is enough."""
        if self._embedded is not None:
            if not self._embedded.alive():
                raise ProblemError(plain_problem(503, "the embedded worker has ended; restart", "no-worker"))
            return
        now = time.monotonic()
        if now - self._seen_s < WORKER_TRUST_S:
            return
        if not self.station.alive():
            told = f"no worker takes jobs of this warehouse; start one: {WORKER_COMMAND}"
            raise ProblemError(plain_problem(503, told, "no-worker"))
        self._seen_s = now

    def need_broker(self) -> None:
        """Raise 503 where the broker does not answer; jobs are then found by the files alone, and later."""
        url = str(self._app.conf.broker_url)
        if self._embedded is None and not answers(url, BROKER_ANSWER_S):
            raise ProblemError(plain_problem(503, "Redis does not answer", "no-broker"))

    def _sent(self, job_id: str, submit: Callable[[], Job]) -> Job:
        try:
            job = submit()
        except JobConflictError as error:
            raise taken(job_id, error.sentence) from None
        self.wake(job)
        return job


def job_id_of(key: str) -> str:
    """Return the name of the job that an Idempotency-Key stands for; "" without a key."""
    return f"key-{digest_of(key)}" if key else ""


def taken(job_id: str, told: str = "") -> ProblemError:
    """Return the problem (409) of a name that stands for another job.

    Args:
        job_id: the name, or what stands for an Idempotency-Key.
        told: what else happened to a name; by default that it was used with another request.
    """
    if _KEY.fullmatch(job_id):
        told = "this Idempotency-Key was used with another request; take a new key"
    words = told or f"the name of the job {job_id} stands for another request; take another one"
    return ProblemError(plain_problem(409, words, "idempotency"))


def _asked_by() -> dict[str, Any]:
    """Return the id of the HTTP request at work, for the job to keep, so that workers can log it."""
    return {"request_id": current("request_id")} if current("request_id") else {}


def picture_of(job: Job) -> PictureReply | None:
    """Return where the first picture of a job is, where there is one."""
    told = None if job.spec.command else job.pictures.told(1)
    if told is None:
        return None
    return PictureReply(
        image_path=str(job.pictures.png(1)),
        metadata_path=str(job.pictures.sidecar(1)),
        elapsed_ms=int(told.get("elapsed_ms", 0)),
    )


def problem_of_job(job: Job) -> Problem | None:
    """Return why the first item of a job failed, where it did."""
    failure = job.failures.read(1)
    if failure is None:
        return None
    return problem_of_slug(failure.slug, ". ".join(part for part in (failure.message, failure.hint) if part))
