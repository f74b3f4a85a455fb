"""A Celery worker inside the API process, for machines without Redis."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import IO, Any

from celery import Celery
from celery.worker import state

from charaforge.errors import WarehouseError

STOP_TIMEOUT_S = 10.0
WORKER_NAME = "embedded@localhost"


class EmbeddedWorker:
    """Does the jobs of a `memory://` app in a daemon thread, one at a time.

    Args:
        app: the Celery app.
        lock: a file that says that jobs are done in this warehouse; only one process may hold it, because no
            other would know of its jobs.
    """

    def __init__(self, app: Celery, lock: Path) -> None:
        self._app = app
        self._lock_path = lock
        self._lock: IO[str] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the worker and return at once; jobs wait until it is ready.

        Raises:
            WarehouseError: another process holds the lock.
        """
        self._lock = self._locked()
        self._app.set_default()  # the current app is a thread's own; without this, results would be lost
        worker: Any = self._app.WorkController(
            pool="solo",
            concurrency=1,
            hostname=WORKER_NAME,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            quiet=True,
        )
        self._thread = threading.Thread(target=worker.start, name="embedded-worker", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Return whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Let the job at hand end, stop the worker, and free the lock."""
        if self._thread is not None:
            state.should_stop = 0  # heeded between jobs
            self._app.control.shutdown([WORKER_NAME])  # wakes a worker that waits for jobs
            self._thread.join(STOP_TIMEOUT_S)
            state.should_stop = None
        if self._lock is not None:
            self._lock.close()

    def _locked(self) -> IO[str]:
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        stream = self._lock_path.open("w")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.close()
            raise WarehouseError(
                f"another CharaForge service does its jobs in this warehouse ({self._lock_path} is locked)",
                "use that one, or stop it, or start Redis so that several can share the work",
            ) from error
        return stream
