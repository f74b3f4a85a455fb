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
