"""A worker at shards, and what it does when something goes wrong."""

from __future__ import annotations

import pytest

from charaforge.errors import GenerationError
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import ATTEMPTS
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import Crash, World, wish


@pytest.fixture
def world(warehouse: Warehouse) -> World:
    return World(warehouse)


def test_a_job_is_done_once(world: World) -> None:
    job = world.submit(70)
    world.settle()
    assert job.outcome() is not None
    assert world.eye.status(job).state == "completed"
    assert sorted(world.rendered()) == list(range(70))
    assert world.check_pictures(job) == (70, 0)
    assert world.hosts[0].rendering.sizes[0] == (8, 8, None)
    assert list(job.folder.leases.iterdir()) == list(job.folder.tries.iterdir()) == []


def test_one_bad_item_does_not_touch_the_others(world: World) -> None:
    def trouble(seeds: list[int]) -> None:
        if 3 in seeds:
            raise GenerationError("this one cannot be", "ask for another")

    world.trouble(trouble)
    job = world.submit(40)
    world.settle()
    told = world.eye.status(job)
    assert (told.state, told.done, told.failed) == ("completed_with_errors", 39, 1)
    (failure,) = told.failures
    assert (failure.item, failure.slug, failure.message) == (4, "generation", "this one cannot be")
    assert world.check_pictures(job) == (39, 1)
    world.trouble(lambda seeds: None)
    assert world.eye.job(job.id).retry_failed() == 1
    world.settle()
    assert world.eye.status(job).state == "completed"
    assert world.check_pictures(job) == (40, 0)
    assert sorted(world.rendered()) == list(range(40))


def test_an_item_that_ends_workers_is_given_up_and_the_others_are_not(world: World) -> None:
    ends = []

    def trouble(seeds: list[int]) -> None:
        if 3 in seeds:
            ends.append(len(seeds))
            raise Crash

    world.trouble(trouble)
    job = world.submit(20)
    world.settle()
    told = world.eye.status(job)
    assert (told.done, told.failed, told.failures[0].slug) == (19, 1, "quarantined")
    assert ends == [8, 1, 1, 1]
    assert len(ends) == 1 + ATTEMPTS


def test_crashes_of_others_do_not_count_and_the_bytes_stay(world: World) -> None:
    """Killed again and again at other places: what was with others is rendered alone, at its size."""
    job = world.submit(8)
    world.hosts[0].dispatcher.reconcile()
    for left in (5, 9, 13, 17):
        world.hosts[0].files.left = left
        assert not world.deliver(0)
        world.now += 30
        world.hosts[1].dispatcher.reconcile()
        world.now += 30
        world.hosts[1].dispatcher.reconcile()
    world.settle()
    assert world.check_pictures(job) == (8, 0)
    assert {size for host in world.hosts for _, size, _ in host.rendering.sizes} == {8}


def test_the_last_attempt_spares_memory(world: World) -> None:
    job = world.submit(1)
    times = []

    def trouble(seeds: list[int]) -> None:
        times.append(seeds)
        if len(times) < 3:
            raise RuntimeError("the driver says no")

    world.hosts[0].rendering.trouble = trouble
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    assert world.hosts[0].rendering.sizes == [(1, 1, None), (1, 1, None), (1, 1, None)]
    assert world.check_pictures(job) == (1, 0)
    times.append([])
    del times[:]
    world.submit(1)
    world.hosts[0].rendering.trouble = lambda seeds: times.append(seeds) or _no(len(times) < 4)
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    assert world.hosts[0].rendering.sizes[-1] == (1, 1, 3)


def _no(true: bool) -> None:
    if true:
        raise RuntimeError("the driver says no")


def test_cancel_stops_between_steps_and_pause_between_micro_batches(world: World) -> None:
    job = world.submit(40)
    world.hosts[0].dispatcher.reconcile()
    world.hosts[0].rendering.trouble = lambda seeds: _once(job, 8 in seeds)
    world.deliver(0)
    told = world.eye.status(job)
    assert (told.state, told.done) == ("paused", 16)  # the micro-batch at work was finished
    job.resume()
    world.settle()
    assert world.check_pictures(job) == (40, 0)
    assert len(world.rendered()) == 40


def _once(job: Job, now: bool) -> None:
    if now and not job.halted():
        job.pause()


def test_a_drained_worker_gives_its_shard_back(world: World) -> None:
    job = world.submit(32)
    first, second = world.hosts
    first.dispatcher.reconcile()
    first.rendering.trouble = lambda seeds: first.worker.draining.set()
    world.deliver(0)
    assert world.eye.status(job).done == 8
    assert world.messages == [(job.id, 0)]  # sent again at once
    world.deliver(1)
    assert world.check_pictures(job) == (32, 0)
    assert (len(first.rendering.rendered), len(second.rendering.rendered)) == (8, 24)


def test_interactive_requests_go_first_between_micro_batches(world: World) -> None:
    job = world.submit(32)
    host = world.hosts[0]
    host.dispatcher.reconcile()

    def trouble(seeds: list[int]) -> None:
        if seeds[0] == 8:
            host.store.submit([wish(777)], kind="picture", queue="interactive")

    host.rendering.trouble = trouble
    world.deliver(0)
    assert host.rendering.rendered.index(777) == 16
    assert world.check_pictures(job) == (32, 0)


def test_a_full_disk_pauses_a_batch_and_room_lets_it_go_on(world: World) -> None:
    job = world.submit(40)
    for host in world.hosts:
        host.files.full = True
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    assert (world.eye.status(job).state, world.eye.status(job).paused_by) == ("paused", "disk")
    for host in world.hosts:
        host.files.full = False
    world.settle()
    assert world.check_pictures(job) == (40, 0)


def test_a_worker_that_was_overtaken_gives_up(world: World) -> None:
    job = world.submit(32)
    first, second = world.hosts
    first.dispatcher.reconcile()

    def trouble(seeds: list[int]) -> None:
        """It sleeps for a minute in the middle of its second micro-batch."""
        if seeds[0] == 8 and not second.rendering.rendered:
            second.dispatcher.reconcile()
            world.now += 60
            second.dispatcher.reconcile()
            world.deliver(1, len(world.messages) - 1)

    first.rendering.trouble = trouble
    world.deliver(0)
    assert sorted(first.rendering.rendered) == list(range(16))
    assert sorted(second.rendering.rendered) == list(range(8, 32))  # 8 items in vain
    assert world.check_pictures(job) == (32, 0)
    assert world.eye.status(job).state == "completed"


@pytest.mark.parametrize("what", ["png", "json"])
def test_a_picture_that_goes_before_the_end_is_rendered_again(world: World, what: str) -> None:
    job = world.submit(40)
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    job.pictures.png(5).with_suffix(f".{what}").unlink()
    world.settle()
    assert world.check_pictures(job) == (40, 0)
    assert len(world.rendered()) == 41


def test_a_deleted_picture_of_a_finished_job_comes_back_on_request(world: World) -> None:
    job = world.submit(8)
    world.settle()
    job.pictures.png(5).write_bytes(b"garbage")
    assert world.eye.job(job.id).retry_failed() == 0
    world.settle()
    assert world.check_pictures(job) == (8, 0)


def test_verify_compares_with_what_was(world: World) -> None:
    from dataclasses import replace

    job = world.submit(3)
    world.settle()
    expected = [job.pictures.told(number) for number in (1, 2)]
    shas = [told["sha256"] if told else "" for told in expected]
    wishes = [replace(wish(0), expect=shas[0]), replace(wish(1), expect="0" * 64)]
    check = world.hosts[0].store.submit(wishes, kind="verify")
    world.settle()
    told = world.eye.status(check)
    assert (told.done, told.failed, told.failures[0].slug) == (1, 1, "differs")


def test_a_window_of_shards_is_sent_and_no_more(world: World) -> None:
    job = world.submit(32 * 40)
    world.hosts[0].dispatcher.reconcile()
    assert [shard for _, shard in world.messages] == list(range(8))  # 4 for each of 2 workers
    world.deliver(0)
    assert [shard for _, shard in world.messages] == list(range(1, 9))
    job.cancel()
    world.settle()
    assert len(world.rendered()) == 32
    assert world.eye.status(job).pending == 32 * 39
