"""Jobs, queues and workers for Prometheus, computed from the warehouse's files when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from backend.jobs.measuring import SECONDS
from backend.jobs.queue import JobQueue
from charaforge.jobstore.heart import WorkerView


class JobMetrics(Collector):
    """Tells of the jobs of a queue.

    Args:
        queue: the jobs.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from self._jobs()
        workers = self._queue.station.workers.list()
        alive = GaugeMetricFamily("charaforge_workers", "Workers with a young heartbeat")
        alive.add_metric([], sum(worker.alive for worker in workers))
        yield alive
        yield from _rendering([worker for worker in workers if worker.alive])

    def _jobs(self) -> Iterator[Metric]:
        """Yield what is known of unfinished jobs."""
        jobs: Counter[tuple[str, str]] = Counter()
        items: Counter[tuple[str, str]] = Counter({("interactive", "pending"): 0, ("batch", "pending"): 0})
        for job in self._queue.store.unfinished():
            told = self._queue.store.status(job)
            jobs[job.spec.kind, told.state] += 1
            items[job.spec.queue, "pending"] += told.pending
            items[job.spec.queue, "done"] += told.done
            items[job.spec.queue, "failed"] += told.failed
        told_jobs = GaugeMetricFamily("charaforge_jobs", "Unfinished jobs", labels=("kind", "state"))
        about = "Items of unfinished jobs; pending is the queue's depth"
        told_items = GaugeMetricFamily("charaforge_items", about, labels=("queue", "state"))
        for family, counts in ((told_jobs, jobs), (told_items, items)):
            for labels, count in sorted(counts.items()):
                family.add_metric(labels, count)
            yield family


def _rendering(workers: list[WorkerView]) -> Iterator[Metric]:
    """Yield what workers tell of their pictures and of their memory."""
    seconds = HistogramMetricFamily("charaforge_item_seconds", "Time to render an item", labels=("worker",))
    errors = CounterMetricFamily(
        "charaforge_item_errors", "How often rendering ended with an error", labels=("worker", "kind")
    )
    memory = GaugeMetricFamily(
        "charaforge_gpu_memory_bytes", "Memory of a GPU", labels=("worker", "device", "state")
    )
    for worker in workers:
        facts = worker.facts
        if "buckets" in facts:
            seconds.add_metric([worker.name], _added_up(facts["buckets"]), facts["seconds"])
            for kind, count in facts["errors"].items():
                errors.add_metric([worker.name, kind], count)
        for gpu in facts.get("gpus", ()):
            for state in ("used", "total"):
                memory.add_metric([worker.name, gpu["device"], state], gpu[state])
    yield from (seconds, errors, memory)


def _added_up(buckets: list[int]) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus wants them: each with all smaller ones."""
    found: list[tuple[str, float]] = []
    count = 0
    limits: tuple[Any, ...] = (*SECONDS, "+Inf")
    for limit, more in zip(limits, buckets, strict=True):
        count += more
        found.append((str(limit), count))
    return found
