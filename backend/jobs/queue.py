"""What routes do with the queue: put a job in, wait for its result."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import TimeoutError as CeleryTimeout

from backend.core.problems import Problem, ProblemError, plain_problem
from backend.jobs.broker import EMBEDDED, WORKER_COMMAND
from backend.jobs.embedded import EmbeddedWorker

WAIT_S = 600.0
POLL_S = 0.01
WORKER_ANSWER_S = 1.0
WORKER_TRUST_S = 5.0


class JobQueue:
    """The jobs of one API process.

    Args:
        app: the Celery app.
        lock: lock file of the embedded worker.
    """

    def __init__(self, app: Celery, lock: Path) -> None:
        self._app = app
        self._embedded = EmbeddedWorker(app, lock) if app.conf.broker_url == EMBEDDED else None
        self._seen_s = -WORKER_TRUST_S

    def start(self) -> None:
        """Start the embedded worker, where there is one."""
        if self._embedded is not None:
            self._embedded.start()

    def stop(self) -> None:
        """Stop the embedded worker, where there is one."""
        if self._embedded is not None:
            self._embedded.stop()

    def run(self, task: str, *arguments: Any) -> dict[str, Any]:
        """Put a job into the queue and wait for its result.

        Raises:
            ProblemError: the job was refused (as the job says), no worker is there (503), or it takes longer
                than WAIT_S (504).
        """
        self._need_worker()
        result = self._app.send_task(task, args=arguments)
        try:
            # a solo worker sets a process-wide flag that makes waiting look like waiting inside a task
            answer: dict[str, Any] = result.get(WAIT_S, interval=POLL_S, disable_sync_subtasks=False)
        except CeleryTimeout as error:
            told = f"the job is not done after {WAIT_S:.0f} s; try fewer steps or a smaller size"
            raise ProblemError(plain_problem(504, told, "timeout")) from error
        finally:
            result.forget()
        if "problem" in answer:
            raise ProblemError(Problem.model_validate(answer["problem"]))
        return answer

    def _need_worker(self) -> None:
        """Raise 503 unless a worker has answered just now."""
        now = time.monotonic()
        if self._embedded is not None or now - self._seen_s < WORKER_TRUST_S:
            return
        if not self._app.control.broadcast("ping", reply=True, timeout=WORKER_ANSWER_S, limit=1):
            told = f"no worker takes jobs from {self._app.conf.broker_url}; start one: {WORKER_COMMAND}"
            raise ProblemError(plain_problem(503, told, "no-worker"))
        self._seen_s = now
