"""What of a warehouse can go, and what never does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from charaforge.jobstore.retention import KINDS, litter, remove
from charaforge.jobstore.store import JobStore
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import wish


def aged(path: Path, days: float) -> Path:
    """Give a file, or a folder and all in it, an age."""
    then = time.time() - 86_400 * days
    for one in (*path.rglob("*"), path):
        os.utime(one, (then, then))
    return path


def gone(warehouse: Warehouse, *kinds: str, days: float = 30.0) -> set[Path]:
    return {one.path for one in litter(warehouse, frozenset(kinds), days)}


def test_what_killed_processes_left_goes_after_a_day(warehouse: Warehouse) -> None:
    store = JobStore(warehouse)
    job = store.submit([wish(1)])
    half = store.root / f".{job.id}.abcd.tmp"
    half.mkdir()
    (half / "items.jsonl").write_bytes(b"x" * 1000)
    written = job.folder.path / ".spec.1-ab.tmp.json"
    written.touch()
    heart = store.root / ".workers" / "host-1.json"
    heart.parent.mkdir()
    heart.touch()
    assert gone(warehouse, "leftovers") == set()
    for path in (half, written, heart):
        aged(path, 2)
    assert gone(warehouse, "leftovers") == {half, written, heart}
    for one in list(litter(warehouse, frozenset({"leftovers"}), 30.0)):
        remove(one)
    assert not half.exists()
    assert job.folder.spec.exists()


@pytest.mark.parametrize("ended", [False, True])
def test_only_jobs_that_have_ended_go(warehouse: Warehouse, ended: bool) -> None:
    job = JobStore(warehouse).submit([wish(1)])
    picture = warehouse.outputs / "2020-01-01" / "old"
    picture.mkdir(parents=True)
    (picture / "0001.png").touch()
    (warehouse.models / "sd").mkdir(exist_ok=True)
    (warehouse.models / "sd" / "model.safetensors").touch()
    if ended:
        job.close("completed", 1, 0, "")
    aged(warehouse.root, 99)
    found = gone(warehouse, *KINDS)
    assert (job.folder.path in found) is ended
    assert picture in found
    assert not any(path.is_relative_to(warehouse.models) for path in found)
