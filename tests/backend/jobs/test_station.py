"""A process's part in the jobs: its heart beats whatever else it waits for, until its work has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from backend.jobs.broker import EMBEDDED, make_celery
from backend.jobs.station import Station
from charaforge.jobstore.job import Job
from charaforge.jobstore.spec import Wish
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from tests.backend.jobs.farm import until, wish


@pytest.fixture
def station(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    """A worker whose heart beats fast and that gets no messages."""
    monkeypatch.setenv("JOB_RENDERER", "pattern:100")
    monkeypatch.setattr("backend.jobs.station.HEARTBEAT_S", 0.02)
    station = Station(make_celery(EMBEDDED), warehouse, works=True)
    station.dispatcher.send = lambda job, shard: None
    yield station
    station.stop()


def beats(station: Station) -> int:
    """When its heart has beaten last, as its file tells."""
    paths = list(station.workers.folder.glob("[!.]*.json"))  # not those that are just being written
    return paths[0].stat().st_mtime_ns if paths else 0


def goes_on(station: Station) -> None:
    before = beats(station)
    until(lambda: beats(station) > before, 5)


def test_a_heart_does_not_wait_for_a_broker(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, free = threading.Event(), threading.Event()

    def reconcile() -> None:
        stuck.set()
        free.wait(20)

    monkeypatch.setattr(station.dispatcher, "reconcile", reconcile)
    station.start()
    assert stuck.wait(5)
    for _ in range(3):
        goes_on(station)
    free.set()


def test_what_a_draining_worker_still_does_is_kept_alive(station: Station) -> None:
    job = station.store.submit([wish(number) for number in range(8)])
    station.dispatcher.top_up(job)  # sent now: the station itself must not do that just when the work begins
    station.start()
    assert station.worker is not None
    thread = threading.Thread(target=station.worker.do, args=(job.id, 0))
    thread.start()
    until(lambda: station.worker is not None and station.worker.busy, 5)
    station.drain()
    goes_on(station)
    assert station.worker.busy
    stopping = threading.Thread(target=station.stop)
    stopping.start()
    goes_on(station)  # also while it waits for the end of the micro-batch
    thread.join()
    stopping.join()
    assert not station.worker.busy
    assert beats(station) == 0  # it has taken its leave
    assert station.store.status(job).done == 8


@pytest.mark.parametrize("name", ["night", "n" * 128])
def test_pictures_are_scored_once_and_in_spite_of_a_kill(
    station: Station, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed just before the end of a batch has its score begun already."""
    request = GenerationRequest(prompt="x", seed=1, width=64, height=64, steps=1)
    job = station.store.submit([Wish(request)], job_id=name, options={"score": True})
    assert station.worker is not None

    def scores() -> list[Job]:
        return [one for one in station.store.jobs(("score",)) if one.spec.command == ("score", name)]

    def killed(self: Job, *told: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Job, "close", killed)
        with pytest.raises(SystemExit):
            station.worker.do(job.id, 0)
    assert (len(scores()), job.ended()) == (1, False)
    station.dispatcher.top_up(job)
    assert (len(scores()), job.ended()) == (1, True)


def test_a_name_that_is_taken_does_not_keep_a_batch_from_ending(station: Station) -> None:
    request = GenerationRequest(prompt="x", seed=1, width=64, height=64, steps=1)
    station.store.submit([Wish(request)], job_id="night-score", fingerprint="of a person")
    job = station.store.submit([Wish(request)], job_id="night", options={"score": True})
    station.dispatcher.top_up(job)
    assert station.worker is not None
    station.worker.do(job.id, 0)
    assert job.ended()


def test_reading_all_jobs_again_and_again_takes_no_time(station: Station) -> None:
    for number in range(50):
        station.store.submit([wish(number)], kind="picture", queue="interactive")
    station.store.jobs(("batch",))
    start = time.process_time()
    for _ in range(20):
        assert station.store.jobs(("batch",)) == []
    assert time.process_time() - start < 0.1
