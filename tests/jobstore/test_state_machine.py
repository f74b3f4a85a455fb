"""Whatever happens in whatever order: no picture is lost, doubled or altered."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from charaforge.errors import JobConflictError
from charaforge.jobstore.job import Job
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import World

HOSTS = 2
host = st.integers(0, HOSTS - 1)
operations = st.integers(0, 60)


class StoreMachine(RuleBasedStateMachine):
    """Two hosts at one job, that crash at any change of a file, and people who interfere."""

    delay_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        warehouse = Warehouse(self.root)
        warehouse.batches.mkdir(parents=True)
        self.world = World(warehouse, HOSTS, self.delay_s)
        self.job: Job | None = None
        self.crashes = 0

    @initialize(count=st.integers(1, 40), left=st.none() | st.integers(0, 12))
    def submit(self, count: int, left: int | None) -> None:
        """Submit; where the submitter is killed, the job is there as a whole or not at all."""
        self.world.hosts[0].files.left = left
        self.world.guarded(0, lambda one: self.world.submit(count))
        jobs = self.world.eye.jobs()
        self.job = jobs[0] if jobs else self.world.submit(count)
        assert len(list(self.job.items.all())) == count

    @rule(who=host, place=st.integers(0, 7))
    def deliver(self, who: int, place: int) -> None:
        self.world.deliver(who, place)

    @rule(who=host, place=st.integers(0, 7), left=operations)
    def deliver_and_crash(self, who: int, place: int, left: int) -> None:
        self.world.hosts[who].files.left = left
        self.crashes += not self.world.deliver(who, place)
        self.world.hosts[who].files.left = None

    @rule(who=host, left=st.none() | operations)
    def reconcile(self, who: int, left: int | None) -> None:
        self.world.hosts[who].files.left = left
        self.world.guarded(who, lambda one: one.dispatcher.reconcile())
        self.world.hosts[who].files.left = None

    @rule(seconds=st.sampled_from([1.0, 6.0, 25.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(place=st.integers(0, 7))
    def repeat_a_message(self, place: int) -> None:
        if self.world.messages:
            self.world.messages.append(self.world.messages[place % len(self.world.messages)])

    @rule()
    def lose_all_messages(self) -> None:
        self.world.messages.clear()

    @rule(who=host, shard=st.integers(0, 2))
    def send_unasked(self, who: int, shard: int) -> None:
        if self.job is not None:
            job_id = self.job.id
            self.world.guarded(who, lambda one: one.worker.do(job_id, shard))

    @rule(item=st.integers(1, 40), how=st.sampled_from(["png", "sidecar", "cut", "cut sidecar"]))
    def damage(self, item: int, how: str) -> None:
        if self.job is None or item > self.job.spec.total:
            return
        png, sidecar = self.job.pictures.png(item), self.job.pictures.sidecar(item)
        path = sidecar if "sidecar" in how else png
        if path.exists():
            path.unlink() if "cut" not in how else path.write_bytes(path.read_bytes()[:10])

    @rule()
    def pause(self) -> None:
        self._ask(lambda job: job.pause())

    @rule()
    def resume(self) -> None:
        self._ask(lambda job: job.resume())

    @rule()
    def retry_failed(self) -> None:
        self._ask(lambda job: job.retry_failed())

    @precondition(lambda self: self.crashes > 2)
    @rule()
    def cancel(self) -> None:
        self._ask(lambda job: job.cancel())

    @invariant()
    def counts_add_up(self) -> None:
        if self.job is not None:
            told = self.world.eye.status(self.world.eye.job(self.job.id))
            assert told.done >= 0
            assert told.failed >= 0
            assert told.pending >= 0
            assert told.done + told.failed + told.pending == told.total

    def teardown(self) -> None:
        """When nobody interferes any more the job ends, and every item is right."""
        try:
            if self.job is not None:
                self._ask(lambda job: job.resume())
                self.world.settle()
                job = self.world.eye.job(self.job.id)
                outcome = job.outcome() or {}
                if outcome["state"] != "cancelled" and not self._damaged_after_its_end(job):
                    done, failed = self.world.check_pictures(job)
                    assert done + failed == job.spec.total
                    assert (outcome["done"], outcome["failed"]) == (done, failed)
                    assert failed == 0 or self.crashes >= 3
                else:
                    self.world.check_pictures(job)
                assert self.world.eye.unfinished() == []
        finally:
            shutil.rmtree(self.root)

    def _ask(self, what: object) -> None:
        try:
            if self.job is not None and callable(what):
                what(self.world.eye.job(self.job.id))
        except JobConflictError:
            pass

    def _damaged_after_its_end(self, job: Job) -> bool:
        """What is deleted from a finished job stays so, until somebody asks for it."""
        items = range(1, job.spec.total + 1)
        return any(not job.pictures.done(n) and not job.failures.failed(n) for n in items)


EXAMPLES = int(os.environ.get("STORE_EXAMPLES", "12"))

StoreMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=20,
    deadline=None,
    derandomize=EXAMPLES == 12,
    database=None,
    suppress_health_check=list(HealthCheck),
)
test_any_order = StoreMachine.TestCase


class LateMachine(StoreMachine):
    """The same on a disk that shows what others did up to 30 s late."""

    delay_s = 30.0


LateMachine.TestCase.settings = StoreMachine.TestCase.settings
test_any_order_on_a_late_disk = LateMachine.TestCase
