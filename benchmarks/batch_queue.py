"""A batch of 100,000 pictures that cost nothing: what the queue itself takes.

    python benchmarks/batch_queue.py [--items 100000] [--workers 2]

Starts a Redis, an API and workers that render patterns (`JOB_RENDERER=pattern`) in a warehouse of their own,
and prints: the time to submit, the time until all is done, the memory of Redis, the 99th percentile of asking
for the status meanwhile, how flat the workers' memory is, and how soon a second batch stops that is cancelled
halfway; beside it the processor time of the workers for each item, which other programs do not change.
Exit code 4 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from charaforge.client.service import Service
from charaforge.errors import ExitCode, ServiceError
from charaforge.jobstore.job import Job
from charaforge.jobstore.spec import Wish
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from tests.backend.jobs.farm import Farm, until

SUBMIT_S, DRAIN_S, REDIS_MB, STATUS_MS, FLAT, CANCEL_S = 15.0, 120.0, 50.0, 100.0, 0.05, 2.0
POLL_S = 0.5
WARM = 0.1  # share of the run after which memory counts


@dataclass
class Seen:
    """What was seen during a run."""

    status_ms: list[float] = field(default_factory=list)
    rss_kb: dict[int, list[int]] = field(default_factory=dict)
    redis_bytes: int = 0


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="queue-", ignore_cleanup_errors=True) as place:
        warehouse = Warehouse(Path(place) / "warehouse")
        with Farm(warehouse, Path(place), ms=0) as farm:
            farm.environment["JOB_RENDERER"] = "pattern"
            farm.environment["BATCH_MAX_ITEMS"] = str(args.items)
            fine = measure(farm, args.items, args.workers)
    return ExitCode.PASS if fine else ExitCode.FAILED


def measure(farm: Farm, items: int, workers: int) -> bool:
    """Run both batches; return whether all bars are met."""
    for _ in range(workers):
        farm.start_worker()
    farm.start_api()
    with Service(farm.api_url) as service, farm.sender() as station:
        until(lambda: answers(service))
        start = time.monotonic()
        job = submitted(farm, items)
        submit_s = time.monotonic() - start
        station.dispatcher.top_up(job)
        seen = Seen()
        before_s = sum(cpu_s(worker.pid) for worker in farm.workers)
        drain_s = watched(farm, service, job, seen)
        used_ms = 1000 * (sum(cpu_s(worker.pid) for worker in farm.workers) - before_s) / items
        told = farm.store.status(job)
        second = submitted(farm, items)
        station.dispatcher.top_up(second)
        until(lambda: farm.store.status(second).done >= items / 2, 2 * DRAIN_S)
        cancel_s = cancelled(farm, second)
    rates = sorted(seen.status_ms)
    p99 = rates[int(0.99 * (len(rates) - 1))]
    flat = max(unrest(values[int(WARM * len(values)) :]) for values in seen.rss_kb.values())
    rows = [
        (f"submit {items} items", submit_s, SUBMIT_S, "s"),
        (f"drained by {workers} workers", drain_s, DRAIN_S, "s"),
        ("Redis at its most", seen.redis_bytes / 1e6, REDIS_MB, "MB"),
        ("status, 99th percentile", p99, STATUS_MS, "ms"),
        ("workers' memory away from its mean", flat, FLAT, ""),
        ("cancelled halfway", cancel_s, CANCEL_S, "s"),
    ]
    for name, value, bar, unit in rows:
        print(f"{name}: {value:.3g} {unit} (bar {bar:g} {unit}){'' if value <= bar else '  MISSED'}")
    print(f"state {told.state}: {told.done} done, {told.failed} failed; {items / drain_s:.0f} items/s")
    print(f"processor time of the workers: {used_ms:.2f} ms/item")
    return told.done == items and all(value <= bar for _, value, bar, _ in rows)


def submitted(farm: Farm, items: int) -> Job:
    """Submit a batch, from texts and numbers on."""
    told = {"width": 64, "height": 64, "steps": 20}
    return farm.store.submit(
        Wish(
            GenerationRequest.model_validate({**told, "prompt": f"1girl, hair {n % 97}", "seed": n}),
            {"row": n},
        )
        for n in range(items)
    )


def watched(farm: Farm, service: Service, job: Job, seen: Seen) -> float:
    """Ask how far a job is until it has ended; return the seconds."""
    start = time.monotonic()
    with Redis.from_url(farm.url) as redis:
        while True:
            asked = time.monotonic()
            state = service.job(job.id).state
            seen.status_ms.append(1000 * (time.monotonic() - asked))
            for worker in farm.workers:
                seen.rss_kb.setdefault(worker.pid, []).append(rss_kb(worker.pid))
            seen.redis_bytes = max(seen.redis_bytes, int(redis.info("memory")["used_memory_peak"]))
            if state not in ("queued", "running"):
                return time.monotonic() - start
            time.sleep(POLL_S)


def cancelled(farm: Farm, job: Job) -> float:
    """Cancel a job; return the seconds until the last picture of it was written."""
    start = time.time()
    job.cancel()
    time.sleep(2 * CANCEL_S)
    newest = max(path.stat().st_mtime for path in job.pictures.out.rglob("*.json"))
    return max(0.0, newest - start)


def unrest(values: list[int]) -> float:
    """Return by which share of their mean values leave it at most."""
    mean = sum(values) / len(values)
    return max(abs(value / mean - 1) for value in values)


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kb(pid: int) -> int:
    """Return the memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def answers(service: Service) -> bool:
    """Return whether the API is up."""
    try:
        return service.health().ok
    except ServiceError:
        return False


if __name__ == "__main__":
    sys.exit(main())
