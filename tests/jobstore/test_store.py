from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from charaforge.errors import JobConflictError, UnknownNameError, UsageError
from charaforge.jobstore.folder import picture_path
from charaforge.jobstore.job import Job
from charaforge.jobstore.planning import group_key, plan
from charaforge.jobstore.spec import Wish
from charaforge.jobstore.store import JobStore
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from tests.jobstore.world import wish


@pytest.fixture
def store(warehouse: Warehouse) -> JobStore:
    return JobStore(warehouse)


def test_an_item_is_read_by_its_number_and_by_its_shard(store: JobStore) -> None:
    job = store.submit([wish(number, steps=1 + number % 2) for number in range(70)])
    assert job.spec.total == 70
    for number in (1, 2, 35, 70):
        item = job.items.item(number)
        assert (item.number, item.request["seed"], item.note) == (number, number - 1, {"row": number - 1})
        assert item in job.items.shard(item.shard)
        GenerationRequest.model_validate(item.request)
    by_shard = [[item.number for item in job.items.shard(shard)] for shard in range(job.spec.shards)]
    assert sorted(number for shard in by_shard for number in shard) == list(range(1, 71))
    assert by_shard[0] == list(range(1, 65, 2))  # one number of steps first, then the other
    with pytest.raises(IndexError):
        job.items.item(71)


def test_sizes_are_fixed_when_a_job_is_submitted() -> None:
    def sizes(count: int) -> list[tuple[int, int, int]]:
        keys = [group_key(wish(number).request.plain()) for number in range(count)]
        return [(place.shard, place.micro_batch, place.size) for place in plan(keys)]

    assert sizes(3) == [(0, 0, 1), (0, 1, 1), (0, 2, 1)]
    assert sizes(4) == [(0, 0, 8)] * 4
    assert sizes(11) == [(0, 0, 8)] * 8 + [(0, 1, 1), (0, 2, 1), (0, 3, 1)]
    assert sizes(34)[31:] == [(0, 3, 8), (1, 0, 1), (1, 1, 1)]


def test_groups_of_a_model_stand_together_and_long_prompts_apart() -> None:
    told = [{"model": "a"}, {"model": "b"}, {"model": "a", "steps": 2}, {"model": "a"}, {"model": "b"}]
    keys = [group_key(wish(0, **fields).request.plain()) for fields in told]
    assert [place.item for place in plan(keys)] == [0, 3, 2, 1, 4]
    long = group_key(wish(0, prompt="a girl with blue hair, " * 30).request.plain())
    assert (long.windows, group_key(wish(0).request.plain()).windows) == (3, 1)


def test_wildcards_are_drawn_and_lora_tags_read_at_submission(store: JobStore) -> None:
    request = GenerationRequest(prompt="{red|blue} hair <lora:charA:0.5>", seed=3)
    (item,) = store.submit([Wish(request)]).items.all()
    assert item.request["prompt"].strip() in ("red hair", "blue hair")
    assert item.request["loras"][0]["name"] == "charA"
    (kept,) = store.submit([Wish(request)], kind="picture").items.all()
    assert kept.request["prompt"] == request.prompt


def test_random_seeds_are_drawn_once_and_counts_become_items(store: JobStore) -> None:
    job = store.submit([Wish(GenerationRequest(prompt="a", count=3))])
    seeds = [item.request["seed"] for item in job.items.all()]
    assert seeds == [seeds[0], seeds[0] + 1, seeds[0] + 2]
    assert seeds[0] >= 0


def test_submitting_twice_is_submitting_once(store: JobStore) -> None:
    first = store.submit([wish(1)], job_id="mine", fingerprint="f")
    assert store.submit([wish(1)], job_id="mine", fingerprint="f") is first
    with pytest.raises(JobConflictError, match="mine"):
        store.submit([wish(2)], job_id="mine", fingerprint="g")
    assert [job.id for job in store.jobs()] == ["mine"]
    assert JobStore(store.warehouse).job("mine").spec == first.spec  # another process sees the same


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", "x" * 129, "a b"])
def test_names_that_could_be_paths_are_refused(store: JobStore, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a job"):
        store.submit([wish(1)], job_id=name)
    with pytest.raises(UnknownNameError):
        store.job(name)


def test_empty_and_too_large_jobs_are_refused(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="without items"):
        store.submit([])
    monkeypatch.setenv("BATCH_MAX_ITEMS", "2")
    with pytest.raises(UsageError, match="BATCH_MAX_ITEMS"):
        store.submit([wish(number) for number in range(3)])
    assert store.jobs() == []
    assert [path.name for path in store.root.iterdir()] == []


def test_equal_work_has_an_equal_digest(store: JobStore) -> None:
    first, second = (store.submit([wish(1), wish(2)]) for _ in range(2))
    assert first.id != second.id
    assert first.spec.digest == second.spec.digest
    assert store.submit([wish(1), wish(3)]).spec.digest != first.spec.digest


def test_pictures_of_large_jobs_lie_in_folders_of_a_thousand() -> None:
    out = Path("out")
    assert picture_path(out, 7, 1000) == out / "0007.png"
    assert picture_path(out, 1000, 1001) == out / "000" / "1000.png"
    assert picture_path(out, 100_000, 100_000) == out / "099" / "100000.png"


def test_the_state_follows_the_marks(store: JobStore) -> None:
    job = store.submit([wish(1)])
    assert store.status(job).state == "queued"
    job.pause()
    assert (store.status(job).state, store.status(job).paused_by) == ("paused", "request")
    job.resume()
    job.pause_for_room()
    assert store.status(job).paused_by == "disk"
    job.cancel()
    assert store.status(job).state == "cancelled"
    assert [event.name for event in job.events.since()] == [
        *("submitted", "paused", "resumed", "paused", "cancelled")
    ]
    second = job.events.since()[1]
    assert [event.name for event in job.events.since(second.after)] == ["resumed", "paused", "cancelled"]


def test_a_page_of_items(store: JobStore) -> None:
    job = store.submit([wish(number) for number in range(5)])
    job.pictures.commit(2, b"png", {})
    views = store.items(job, first=2, count=2)
    assert [(view.number, view.state) for view in views] == [(2, "done"), (3, "pending")]
    assert views[0].note == {"row": 1}
    assert views[0].image_path == job.pictures.png(2)
    assert json.loads(job.pictures.sidecar(2).read_text(encoding="utf-8"))["image"] == "0002.png"
    assert store.items(job, first=6) == []


def test_a_name_that_is_used_again_is_another_job(store: JobStore) -> None:
    """`gc` deletes jobs that have ended; other processes still remember them."""
    other = JobStore(store.warehouse)
    first = store.submit([wish(1, prompt="a cat"), wish(2)], job_id="night", fingerprint="f")
    first.pictures.commit(1, b"a cat", {})
    assert other.status(other.job("night")).total == store.status(first).total == 2
    shutil.rmtree(first.folder.path)
    second = store.submit([wish(1, prompt="a dog")], job_id="night", fingerprint="g")
    for one in (store, other):
        job = one.job("night")
        assert job.items.item(1).request["prompt"] == "a dog"
        assert (one.status(job).total, one.status(job).done) == (1, 0)
    assert second.pictures.out != first.pictures.out


def test_a_folder_that_is_no_job_is_told_and_not_taken_for_one(store: JobStore) -> None:
    rest = store.root / "night" / "done"  # what a deletion left that could not be finished
    rest.mkdir(parents=True)
    (rest / "00000.json").touch()
    with pytest.raises(JobConflictError, match="night"):
        store.submit([wish(1)], job_id="night", fingerprint="f")


def test_listing_reads_no_job_twice(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        store.submit([wish(number)], kind="picture", queue="interactive")
    made = [store.submit([wish(number)]) for number in range(3)]
    one = JobStore(store.warehouse)
    assert [job.id for job in one.jobs(("batch",))] == [job.id for job in reversed(made)]
    read: list[str] = []
    original = one.find

    def find(name: str) -> Job | None:
        read.append(name)
        return original(name)

    monkeypatch.setattr(one, "find", find)
    newest = store.submit([wish(9)])
    assert [job.id for job in one.jobs(("batch",), limit=2)] == [newest.id, made[2].id]
    assert set(read) == {newest.id, made[2].id}
    shutil.rmtree(newest.folder.path)
    assert [job.id for job in one.jobs(("batch",))] == [job.id for job in reversed(made)]
    assert len(one.jobs()) == 23
