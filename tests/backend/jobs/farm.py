"""A render farm on this machine: a Redis, workers and an API, each a process that may be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis, RedisError

from backend.jobs.broker import EMBEDDED, make_celery
from backend.jobs.station import Station
from charaforge.jobstore.job import Job
from charaforge.jobstore.spec import TERMINAL, Wish
from charaforge.jobstore.store import JobStore
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from tests.backend.jobs.counting import LOG, MILLISECONDS, counted

ROOT = Path(__file__).resolve().parents[3]
START_S = 90.0


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(true: Callable[[], Any], at_most_s: float = START_S, every_s: float = 0.02) -> float:
    """Wait until something is true; return how many seconds that took."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > at_most_s:
            raise AssertionError(f"not within {at_most_s} s: {true.__name__}")
        time.sleep(every_s)
    return time.monotonic() - start


class Farm:
    """Processes around one warehouse.

    Args:
        warehouse: where the jobs are.
        folder: for logs and Redis.
        redis: whether there is one; without, the API is embedded.
        ms: milliseconds that a pattern takes.
        renderer: class in `counting`.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        folder: Path,
        redis: bool = True,
        ms: float = 5,
        renderer: str = "Counting",
    ) -> None:
        self.warehouse, self.folder = warehouse, folder
        self.log = folder / "rendered.txt"
        self.port = free_port() if redis else 0
        self.url = f"redis://127.0.0.1:{self.port}/0" if redis else EMBEDDED
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.redis: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "AI_CACHE_ROOT": str(warehouse.root),
            "REDIS_URL": self.url,
            "JOB_RENDERER": f"tests.backend.jobs.counting:{renderer}",
            "PYTHONPATH": str(ROOT),
            LOG: str(self.log),
            MILLISECONDS: str(ms),
        }
        self.store = JobStore(warehouse)

    def __enter__(self) -> Self:
        if self.port:
            self.start_redis()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def start_redis(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self.folder)]
        self.redis = self.launch([*command, "--daemonize", "no"], "redis")
        until(self.redis_answers)

    def redis_answers(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def launch(
        self, command: Sequence[str], name: str, more: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**self.environment, **(more or {})}, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def start_worker(self, module: str = "backend.jobs.worker", wait: bool = True) -> subprocess.Popen[bytes]:
        name = f"worker{len(self.processes)}"
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            module,
            "worker",
            "--loglevel=INFO",
            "-n",
            f"{name}@%h",
        ]
        process = self.launch(command, name)
        self.workers.append(process)
        if wait:
            until(lambda: self.works(process.pid))
        return process

    def works(self, pid: int) -> bool:
        """Return whether a process has told that it works."""
        from charaforge.jobstore.heart import Workers

        listed = Workers(self.store.files, self.store.root / ".workers").list()
        return any(view.pid == pid and view.alive for view in listed)

    def start_api(self) -> subprocess.Popen[bytes]:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "backend.main:app", "--port", str(port)]
        process = self.launch([*command, "--log-level", "warning"], f"api{len(self.processes)}")
        self.api_url = f"http://127.0.0.1:{port}"
        return process

    @contextmanager
    def sender(self) -> Iterator[Station]:
        """The part of an API that sends shards, in this process."""
        station = Station(make_celery(self.url), self.warehouse, works=False)
        station.start()
        try:
            yield station
        finally:
            station.stop()

    def submit(self, count: int, station: Station | None = None, **fields: Any) -> Job:
        wishes = [wish(number, **fields) for number in range(count)]
        job = self.store.submit(wishes)
        if station is not None:
            station.dispatcher.top_up(job)
        return job

    def rendered(self) -> list[str]:
        return counted(self.log)

    def settled(self, job: Job) -> int:
        told = self.store.status(job)
        return told.done + told.failed

    def finish(self, job: Job, at_most_s: float = 120.0) -> float:
        """Wait until a job has ended; return the seconds."""
        return until(lambda: (job.outcome() or {}).get("state") in TERMINAL, at_most_s)


def wish(number: int, **fields: Any) -> Wish:
    told = {"prompt": f"1girl, blue hair, {number}", "seed": number, "width": 64, "height": 64, "steps": 2}
    return Wish(GenerationRequest.model_validate({**told, **fields}))
