"""Counting how far a job is, with what does not change remembered."""

from __future__ import annotations

import pytest

from charaforge.jobstore import status
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import DoneMark
from charaforge.jobstore.status import FRESH_S, LOOK_AGAIN_S, Tally
from charaforge.jobstore.store import JobStore
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import wish


@pytest.fixture
def store(warehouse: Warehouse) -> JobStore:
    return JobStore(warehouse)


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.submit([wish(number) for number in range(200)])


def mark(job: Job, shard: int, done: int, failed: int) -> None:
    """Write that so many of a shard's items are done and failed."""
    stamps = {item: (1, 2) for item in range(done)}
    told = DoneMark(shard, 2, "worker", 1.0, stamps, range(failed))
    job.files.write(job.folder.done_mark(shard), told.data())


def test_a_done_mark_that_changed_is_read_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(status.time, "monotonic", lambda: now)
    tally = Tally(job)
    mark(job, 0, done=30, failed=2)
    assert (tally.status().done, tally.status().failed) == (30, 2)
    mark(job, 0, done=32, failed=0)
    mark(job, 1, done=32, failed=0)
    now += FRESH_S
    assert tally.status().done == 62  # the new one; the other is looked at again a little later
    assert tally.status(fresh=True).done == 64
    mark(job, 0, done=31, failed=1)
    now += LOOK_AGAIN_S
    assert (tally.status().done, tally.status().failed) == (63, 1)
    job.folder.done_mark(1).unlink()
    now += FRESH_S
    assert tally.status().done == 31


def test_only_shards_that_somebody_had_are_looked_at(
    store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    monkeypatch.setattr(Job, "looked_at", lambda _, shard: looked.append(shard) or (1, 0))
    for shard in (0, 1, 2):
        sent = job.claims.claim(shard, None, "sent", store.owner)
        if shard:
            job.claims.claim(shard, sent, "held", store.owner)
    job.claims.claim(3, None, "held", store.owner)
    assert Tally(job).status().done == 3
    assert sorted(looked) == [1, 2, 3]


def test_the_rate_is_known_before_a_shard_ends(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    now, looked = 100.0, 0
    monkeypatch.setattr(status.time, "monotonic", lambda: now)
    monkeypatch.setattr(Job, "looked_at", lambda *_: (looked, 0))
    job.claims.claim(0, None, "held", job.owner)
    tally, rates = Tally(job), []
    for looked in (0, 8, 8, 16, 16, 24):  # noqa: B007  # `looked_at` tells it
        rates.append((tally.status().rate, tally.status().eta_s))
        now += 4.0
    assert rates[:3] == [(0.0, None)] * 3  # two micro-batches must have begun to be files
    assert rates[3] == (1.0, (200 - 16) / 1.0)
    assert rates[-1] == (1.0, (200 - 24) / 1.0)
    now += 61.0
    assert tally.status().eta_s is None, "it stands still"
    job.pause()
    assert tally.status(fresh=True).eta_s is None
    job.resume()
    now += 3600.0
    looked = 32
    assert tally.status().rate == 0.0, "an hour of rest is no part of the rate"


def test_slow_shards_have_a_rate_too_until_nobody_works(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(status.time, "monotonic", lambda: now)
    for shard, ended_s in enumerate((100.0, 400.0, 700.0)):
        stamps = {item: (1, 2) for item in range(32)}
        told = DoneMark(shard, 2, "worker", ended_s, stamps, [])
        job.files.write(job.folder.done_mark(shard), told.data())
    tally = Tally(job)
    found = tally.status()
    assert found.rate == pytest.approx(32 / 300)
    assert found.eta_s == pytest.approx((200 - 96) * 300 / 32)
    now += 601.0
    assert (tally.status().rate, tally.status().eta_s) == (0.0, None)
