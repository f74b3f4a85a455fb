"""Sending and ending jobs: what is in the way of it, and what is remembered of them afterwards."""

from __future__ import annotations

import pytest

from charaforge.errors import WarehouseError
from charaforge.jobstore.dispatch import Dispatcher
from charaforge.jobstore.finishing import finish
from charaforge.jobstore.job import Job
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import World


@pytest.fixture
def world(warehouse: Warehouse) -> World:
    return World(warehouse)


def test_a_broker_that_is_away_is_asked_once_a_round(world: World) -> None:
    job = world.submit(32 * 20)
    asked: list[int] = []

    def send(job: Job, shard: int) -> None:
        asked.append(shard)
        raise ConnectionError("nobody answers")

    away = Dispatcher(world.hosts[0].store, send, lambda: 4)
    away.top_up(job)
    assert asked == [0]
    away.top_up(job)
    assert asked == [0, 0]
    world.settle()  # others reach it
    assert world.check_pictures(job) == (640, 0)


def test_what_follows_a_job_is_begun_before_its_end_is_told(world: World) -> None:
    """A process that is killed between the two would otherwise leave it out."""
    job = world.submit(3)
    world.hosts[0].dispatcher.top_up(job)
    seen: list[bool] = []
    store = world.hosts[0].store
    finished = lambda job: seen.append(job.ended())  # noqa: E731
    quiet = Dispatcher(store, lambda job, shard: None, lambda: 1, finished=finished)
    world.hosts[0].worker._after = lambda job: None
    world.hosts[0].worker.do(job.id, 0)
    assert not job.ended()
    quiet.top_up(job)
    assert (seen, job.ended()) == ([False], True)


def test_an_end_that_a_loss_of_power_cut_off_is_written_again(world: World) -> None:
    job = world.submit(40)
    world.settle()
    assert world.eye.status(job).state == "completed"
    job.folder.finished.write_bytes(b"")
    assert not job.ended()
    world.hosts[0].store.mend_index()  # as every process does now and then
    world.hosts[0].dispatcher.reconcile()
    assert job.ended()
    assert world.eye.status(job).state == "completed"


def test_trying_again_just_when_a_job_ends_is_not_overlooked(world: World) -> None:
    job = world.submit(3)
    host = world.hosts[0]
    host.worker._after = lambda job: None
    host.dispatcher.reconcile()
    world.deliver(0)

    def just_then(job: Job) -> None:
        mark = job.mark(0)
        if mark is not None:
            job.reopen(mark)

    assert finish(host.store.job(job.id), just_then) is False
    assert not world.eye.job(job.id).ended()
    world.restart(0)
    world.settle()
    assert world.eye.status(job).state == "completed"


def test_nothing_is_remembered_of_jobs_that_have_ended(world: World) -> None:
    jobs = [world.submit(70) for _ in range(3)]
    for host in world.hosts:
        host.dispatcher.reconcile()
    world.settle()
    for host in world.hosts:
        host.dispatcher.reconcile()
        assert host.dispatcher._frontier == {}
        assert host.store.watch._seen == {}
    assert all(world.eye.job(job.id).ended() for job in jobs)


def test_a_job_with_a_fault_is_not_in_the_way_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = world.submit(3), world.submit(3)
    original = Dispatcher.top_up

    def top_up(self: Dispatcher, job: Job) -> None:
        if job.id == bad.id:
            raise WarehouseError("its files are damaged")
        original(self, job)

    monkeypatch.setattr(Dispatcher, "top_up", top_up)
    for _ in range(3):
        world.hosts[0].dispatcher.reconcile()
        world.deliver(0)
    assert world.eye.job(good.id).ended()
