"""What nobody but a person can mend halts a batch and says why; what is asked for wrongly fails alone."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from charaforge.errors import UnknownNameError
from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.marks import ATTEMPTS
from charaforge.jobstore.weights import Weights
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import Host, World, WorldFiles, wish

OLD = {"base mini-sd": "a" * 64, "lora charA": "b" * 64}
NEW = OLD | {"lora charA": "c" * 64}


@pytest.fixture
def world(warehouse: Warehouse) -> World:
    world = World(warehouse)
    for host in world.hosts:
        host.rendering.weights = dict(OLD)
    return world


def replace_at(host: Host, seed: int) -> None:
    """Somebody puts another LoRA in the place of the one in use, just before this seed is rendered."""

    def trouble(seeds: list[int]) -> None:
        if seeds[0] == seed:
            host.rendering.weights = dict(NEW)

    host.rendering.trouble = trouble


def test_a_lora_that_is_replaced_midway_halts_the_batch(world: World) -> None:
    job = world.submit(40)
    first, second = world.hosts
    first.dispatcher.reconcile()
    replace_at(first, 16)
    world.deliver(0)
    told = world.eye.status(job)
    assert (told.state, told.paused_by, told.done, told.failed) == ("paused", "fault", 16, 0)
    assert "the lora charA was replaced: its sha256 is cccccccccccc…" in told.note
    assert "made with bbbbbbbbbbbb…" in told.note
    job.resume()  # nobody has put the former one back
    second.rendering.weights = dict(NEW)
    world.settle()
    assert (world.eye.status(job).paused_by, world.eye.status(job).done) == ("fault", 16)
    for host in world.hosts:
        host.rendering.weights, host.rendering.trouble = dict(OLD), lambda seeds: None
    world.eye.job(job.id).resume()
    world.settle()
    assert world.eye.status(job).state == "completed"
    assert world.check_pictures(job) == (40, 0)
    assert [event.facts.get("by") for event in job.events.since() if event.name == "paused"] == ["fault"] * 2


def test_two_workers_with_different_weights_do_not_mix_them(world: World) -> None:
    job = world.submit(70)
    world.hosts[1].rendering.weights = dict(NEW)
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    world.deliver(1)
    assert world.eye.status(job).paused_by == "fault"
    assert world.eye.status(job).done == 32


def test_weights_of_other_jobs_do_not_matter(world: World) -> None:
    first = world.submit(3)
    world.settle()
    for host in world.hosts:
        host.rendering.weights = dict(NEW)
    second = world.submit(3)
    world.settle()
    assert {world.eye.status(job).state for job in (first, second)} == {"completed"}


def test_a_picture_that_is_made_again_later_has_the_same_weights(world: World) -> None:
    job = world.submit(8)
    world.settle()
    job.pictures.png(3).unlink()
    for host in world.hosts:
        host.rendering.weights = dict(NEW)
    world.eye.job(job.id).retry_failed()
    world.settle()
    assert "lora charA" in world.eye.status(job).note


def test_a_model_that_is_gone_halts_the_batch(world: World) -> None:
    there = True

    def trouble(seeds: list[int]) -> None:
        if not there:
            raise UnknownNameError("lora model", "charA", [])
        if 9 in seeds:
            raise UnknownNameError("lora model", "charB", [])  # never there: it fails alone

    world.trouble(trouble)
    job = world.submit(96)
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    there = False
    world.settle()
    told = world.eye.status(job)
    assert (told.state, told.paused_by, told.failed) == ("paused", "fault", 1)
    assert told.note.startswith(
        "the lora model 'charA' is gone, though pictures of this job were made with it"
    )
    assert 0 < told.done < 95
    there = True
    job.resume()
    world.settle()
    assert world.check_pictures(job) == (95, 1)


def test_a_checkpoint_s_lora_is_known_by_its_name(world: World, tmp_path: Path) -> None:
    weights = Weights(WorldFiles(world), JobFolder(tmp_path))
    assert not weights.used("charA")
    weights.fault({"lora charA@500": "a" * 64})
    for told in (weights, Weights(WorldFiles(world), JobFolder(tmp_path))):
        assert told.used("charA")
        assert told.used("charA@500")
        assert not told.used("har")


def test_what_somebody_waits_for_fails_instead(world: World) -> None:
    host = world.hosts[0]
    job = host.store.submit([wish(number) for number in range(9)], kind="picture", queue="interactive")
    replace_at(host, 8)
    host.dispatcher.reconcile()
    world.deliver(0)
    world.settle()
    told = world.eye.status(job)
    assert (told.state, told.done, told.failed) == ("completed_with_errors", 8, 1)
    assert "was replaced" in told.failures[0].message


def test_weights_cut_off_by_a_loss_of_power(world: World, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    assert Weights(WorldFiles(world), folder).fault(OLD) == ""
    for path in folder.weights.iterdir():
        path.write_bytes(b"")
    assert Weights(WorldFiles(world), folder).fault(NEW) == ""
    assert "lora charA" in Weights(WorldFiles(world), folder).fault(OLD)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_not_be_written_halts_the_batch(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    original = WorldFiles.write

    def write(self: WorldFiles, path: Path, data: bytes) -> None:
        if path.suffix == ".png":
            raise OSError(number, "not allowed", str(path))
        original(self, path, data)

    monkeypatch.setattr(WorldFiles, "write", write)
    job = world.submit(20)
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    told = world.eye.status(job)
    assert (told.state, told.paused_by) == ("paused", "fault")
    assert "not allowed" in told.note
    assert ".png" in told.note
    monkeypatch.setattr(WorldFiles, "write", original)
    job.resume()
    world.settle()
    assert world.check_pictures(job) == (20, 0)


def test_a_file_that_a_request_lacks_fails_alone(world: World) -> None:
    """The libraries below raise OSError for it; trying again would never end."""

    def trouble(seeds: list[int]) -> None:
        if 3 in seeds:
            raise FileNotFoundError(errno.ENOENT, "there is no vocabulary", "vocab.json")

    world.trouble(trouble)
    job = world.submit(20)
    world.settle()
    told = world.eye.status(job)
    assert (told.done, told.failed, told.failures[0].slug) == (19, 1, "quarantined")
    assert "there is no vocabulary" in told.failures[0].message
    assert told.failures[0].attempts == ATTEMPTS


def test_a_disk_that_is_away_for_a_while_counts_against_nobody(world: World) -> None:
    times: list[int] = []

    def trouble(seeds: list[int]) -> None:
        times.append(seeds[0])
        if len(times) < 9:
            raise OSError(errno.EIO, "the server does not answer")

    world.hosts[0].rendering.trouble = trouble
    job = world.submit(8)
    world.hosts[0].dispatcher.reconcile()
    for _ in range(8):
        with pytest.raises(OSError, match="does not answer"):
            world.hosts[0].worker.do(job.id, 0)
    world.settle()
    assert world.check_pictures(job) == (8, 0)


def test_damaged_items_halt_the_job_and_say_so(world: World) -> None:
    job = world.submit(8)
    job.folder.items.write_bytes(b"garbage\n" * 300)
    world.hosts[0].dispatcher.reconcile()
    world.deliver(0)
    told = world.eye.status(job)
    assert (told.state, told.paused_by) == ("paused", "fault")
    assert "is damaged" in told.note
    other = world.submit(8)
    job.cancel()
    world.settle()  # neither is in the way of the other
    assert world.eye.status(job).state == "cancelled"
    assert world.check_pictures(other) == (8, 0)
