"""The jobs of one API process: which there are, how far they are, what came out.

It lives in memory: after a restart of the API an id is unknown, while the pictures are where they were saved.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Literal

from celery.result import AsyncResult

from backend.core.problems import ProblemError, plain_problem
from backend.jobs.tasks import PROGRESS

MAX_WAITING = 32  # jobs that are not done; below the threads that the API has for waiting
MAX_REMEMBERED = 10_000
RETRY_AFTER_S = 5

State = Literal["queued", "running", "completed", "cancelled", "failed"]


class Job:
    """One job.

    Args:
        result: Celery's view of it.
        fingerprint: what was asked for, to tell equal requests from others.
    """

    def __init__(self, result: AsyncResult, fingerprint: str) -> None:
        self.id: str = result.id
        self.result = result
        self.fingerprint = fingerprint
        self.answer: dict[str, Any] | None = None

    def finished(self) -> bool:
        """Return whether it is done; what came out is then kept in `answer`."""
        if self.answer is None and self.result.ready():
            value = self.result.result
            self.finish(value if isinstance(value, dict) else _fault())
        return self.answer is not None

    def finish(self, answer: dict[str, Any]) -> None:
        """Keep what came out."""
        self.answer = answer
        self.result.forget()

    def state(self) -> State:
        """Return where it stands."""
        if not self.finished():
            return "running" if self.result.state == PROGRESS else "queued"
        answer = self.answer or {}
        return "cancelled" if "cancelled" in answer else "failed" if "problem" in answer else "completed"

    def steps(self) -> tuple[int, int]:
        """Return steps done, and steps in all; (0, 0) where it is not known."""
        told = self.result.info if self.answer is None and self.result.state == PROGRESS else None
        return (int(told["step"]), int(told["steps"])) if isinstance(told, dict) else (0, 0)


class Ledger:
    """Remembers jobs by id and by Idempotency-Key."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._keys: OrderedDict[str, Job] = OrderedDict()
        self.lock = threading.RLock()

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            ProblemError: 404.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise ProblemError(plain_problem(404, f"there is no job {job_id[:80]!r}", "unknown-job"))
        return job

    def unfinished(self) -> list[Job]:
        """Return the jobs that wait or are at work, oldest first."""
        with self.lock:
            return [job for job in self._jobs.values() if not job.finished()]

    def repeated(self, key: str, fingerprint: str) -> Job | None:
        """Return the finished job of an Idempotency-Key, or nothing where the key is new.

        Raises:
            ProblemError: the key stands for another request (422), or its job is still at work (409).
        """
        job = self._keys.get(key)
        if job is None:
            return None
        if job.fingerprint != fingerprint:
            told = "this Idempotency-Key was used with another request; take a new key"
            raise ProblemError(plain_problem(422, told, "idempotency"))
        if not job.finished():
            told = f"the request with this Idempotency-Key is still at work; see /api/v1/jobs/{job.id}"
            raise ProblemError(plain_problem(409, told, "idempotency"), {"Retry-After": str(RETRY_AFTER_S)})
        return job

    def need_room(self) -> None:
        """Raise 503 where too many jobs wait."""
        waiting = len(self.unfinished())
        if waiting >= MAX_WAITING:
            told = f"{waiting} jobs wait already; try again in {RETRY_AFTER_S} s"
            raise ProblemError(plain_problem(503, told, "queue-full"), {"Retry-After": str(RETRY_AFTER_S)})

    def add(self, job: Job, key: str) -> None:
        """Remember a job."""
        self._jobs[job.id] = job
        if key:
            self._keys[key] = job
        for known in (self._jobs, self._keys):
            while len(known) > MAX_REMEMBERED:
                known.popitem(last=False)


def _fault() -> dict[str, Any]:
    """Return the answer of a task that ended with an error of ours; the worker's log has it."""
    return {"problem": plain_problem(500, "the job failed; the worker's log says why", "fault").model_dump()}
