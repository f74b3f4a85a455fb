"""What routes do with the queue: put a job in, wait for its result, stop it."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult

from backend.core.problems import ProblemError, plain_problem
from backend.jobs.broker import EMBEDDED, WORKER_COMMAND
from backend.jobs.embedded import EmbeddedWorker
from backend.jobs.ledger import Job, Ledger
from backend.jobs.tasks import FOLLOW_PINS, RENDER, cancel_mark
from charaforge.requests.answers import Problem
from charaforge.warehouse.layout import Warehouse

WAIT_S = 600.0
POLL_S = 0.005
WORKER_ANSWER_S = 1.0
WORKER_TRUST_S = 5.0


class JobQueue:
    """The jobs of one API process.

    Args:
        app: the Celery app.
        warehouse: where marks and the lock of the embedded worker are.
    """

    def __init__(self, app: Celery, warehouse: Warehouse) -> None:
        self._app = app
        self._warehouse = warehouse
        lock = warehouse.batches / "embedded.lock"
        self._embedded = EmbeddedWorker(app, lock) if app.conf.broker_url == EMBEDDED else None
        self._seen_s = -WORKER_TRUST_S
        self.ledger = Ledger()

    @property
    def place(self) -> str:
        """Where jobs are done: "embedded" or "workers"."""
        return "workers" if self._embedded is None else "embedded"

    def start(self) -> None:
        """Start the embedded worker, where there is one."""
        if self._embedded is not None:
            self._embedded.start()

    def stop(self) -> None:
        """Stop the embedded worker, where there is one."""
        if self._embedded is not None:
            self._embedded.stop()

    def submit(self, request: dict[str, Any], key: str = "") -> Job:
        """Put a picture's request into the queue, once for each Idempotency-Key.

        Args:
            request: a GenerationRequest as JSON values.
            key: the Idempotency-Key; "" = none.

        Raises:
            ProblemError: no worker is there or the queue is full (503); the key is at work (409) or stands
                for another request (422).
        """
        fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        with self.ledger.lock:
            known = self.ledger.repeated(key, fingerprint) if key else None
            if known is not None:
                return known
            self.ledger.need_room()
            self.need_worker()
            job = Job(self._app.send_task(RENDER, args=(request,)), fingerprint)
            self.ledger.add(job, key)
        return job

    def wait(self, job: Job) -> dict[str, Any]:
        """Return what came out of a job.

        Raises:
            ProblemError: the job was refused (as the job says) or cancelled (409), or it takes longer than
                WAIT_S (504).
        """
        if not job.finished():
            _wait(job.result)
        answer = job.answer if job.finished() and job.answer is not None else {}
        if "problem" in answer:
            raise ProblemError(Problem.model_validate(answer["problem"]))
        if "cancelled" in answer:
            raise ProblemError(plain_problem(409, f"the job {job.id} was cancelled", "cancelled"))
        return answer

    def cancel(self, job: Job) -> None:
        """Ask for a job to be stopped; one that is at work ends after its current step."""
        if not job.finished():
            mark = cancel_mark(self._warehouse, job.id)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    def follow_pins(self) -> None:
        """Let a worker load and free LoRAs as they are pinned now; others do so with their next job.

        Raises:
            ProblemError: no worker is there (503), or a LoRA cannot be loaded (as the job says).
        """
        self.need_worker()
        job = Job(self._app.send_task(FOLLOW_PINS), "")
        self.wait(job)

    def need_worker(self) -> None:
        """Raise 503 unless a worker is there, or has answered just now."""
        if self._embedded is not None:
            if not self._embedded.alive():
                raise ProblemError(plain_problem(503, "the embedded worker has ended; restart", "no-worker"))
            return
        now = time.monotonic()
        if now - self._seen_s < WORKER_TRUST_S:
            return
        if not self._app.control.broadcast("ping", reply=True, timeout=WORKER_ANSWER_S, limit=1):
            told = f"no worker takes jobs from the broker; start one: {WORKER_COMMAND}"
            raise ProblemError(plain_problem(503, told, "no-worker"))
        self._seen_s = now


def _wait(result: AsyncResult) -> None:
    try:
        # a solo worker sets a process-wide flag that makes waiting look like waiting inside a task
        result.get(WAIT_S, propagate=False, interval=POLL_S, disable_sync_subtasks=False)
    except CeleryTimeout as error:
        told = f"the job is not done after {WAIT_S:.0f} s; see /api/v1/jobs/{result.id}"
        raise ProblemError(plain_problem(504, told, "timeout")) from error
