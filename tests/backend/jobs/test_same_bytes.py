"""The same batch gives the same bytes, whoever renders it and whatever befalls them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backend.jobs.broker import make_celery
from backend.jobs.models import ModelRenderer, make_renderer
from backend.jobs.pattern import PatternRenderer
from charaforge.errors import UsageError
from charaforge.jobstore.dispatch import Dispatcher
from charaforge.jobstore.job import Job
from charaforge.jobstore.store import JobStore
from charaforge.jobstore.work import Worker
from charaforge.warehouse.layout import Warehouse
from tests.backend.jobs.farm import Farm, wish
from tests.fixtures.tiny_models import tiny_sd


def hashes(job: Job) -> list[str]:
    numbers = range(1, job.spec.total + 1)
    return [hashlib.sha256(job.pictures.png(number).read_bytes()).hexdigest() for number in numbers]


def done_here(warehouse: Warehouse, job: Job) -> None:
    """Do a job in this process, without any broker."""
    store = JobStore(warehouse)
    due: list[tuple[str, int]] = []
    dispatcher = Dispatcher(store, lambda job, shard: due.append((job.id, shard)), lambda: 1)
    worker = Worker(store, ModelRenderer(warehouse), lambda job, go_on: None, dispatcher.top_up)
    dispatcher.reconcile()
    while due:
        worker.do(*due.pop(0))
    worker.executor.shutdown()


def test_pictures_of_a_batch_are_those_of_the_engine(warehouse: Warehouse) -> None:
    from charaforge.generation.generator import Generator, Way
    from charaforge.generation.outputs import png_bytes
    from charaforge.requests.generation import GenerationRequest

    tiny_sd(warehouse.sd / "tiny-sd")
    store = JobStore(warehouse)
    job = store.submit([wish(number, model="tiny-sd", steps=1 + number % 2) for number in range(13)])
    done_here(warehouse, job)
    assert (job.outcome() or {})["state"] == "completed"
    generator = Generator(warehouse)
    for item in job.items.all():
        request = GenerationRequest.model_validate(item.request)
        (image,) = generator.generate_many([request], way=Way(item.size))
        assert png_bytes(image) == job.pictures.png(item.number).read_bytes()
        told = job.pictures.told(item.number) or {}
        assert (told["run"]["micro_batch"], told["item"]) == (item.size, item.number)
        assert told["parameters"].startswith("1girl")


def test_a_fault_of_one_request_is_told_for_it_alone(warehouse: Warehouse) -> None:
    tiny_sd(warehouse.sd / "tiny-sd")
    wishes = [wish(number, model="tiny-sd") for number in range(5)]
    wishes[2] = wish(2, model="tiny-sd", loras=[{"name": "nobody"}])
    store = JobStore(warehouse)
    job = store.submit(wishes)
    done_here(warehouse, job)
    told = store.status(job)
    assert (told.state, told.done, told.failed) == ("completed_with_errors", 4, 1)
    assert "unknown lora model 'nobody'" in told.failures[0].message


def test_the_renderer_is_chosen_by_the_environment(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(make_renderer(warehouse), ModelRenderer)
    monkeypatch.setenv("JOB_RENDERER", "pattern:25")
    assert make_renderer(warehouse) == PatternRenderer(0.025)
    monkeypatch.setenv("JOB_RENDERER", "patern")
    with pytest.raises(UsageError, match="patern"):
        make_renderer(warehouse)


def test_the_settings_of_celery() -> None:
    conf = make_celery("redis://:secret@elsewhere:6379/0").conf
    assert (conf.task_acks_late, conf.task_reject_on_worker_lost) == (True, True)
    assert (conf.worker_prefetch_multiplier, conf.worker_concurrency, conf.worker_pool) == (1, 1, "threads")
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert [queue.name for queue in conf.task_queues] == ["interactive", "batch"]
    options = conf.broker_transport_options
    places = (options, conf.result_backend_transport_options)
    assert {conf.visibility_timeout, *(place["visibility_timeout"] for place in places)} == {900.0}
    assert (options["unacked_restore_interval"], options["unacked_restore_throttle"]) == (5, 1)


@pytest.mark.slow
def test_one_worker_three_workers_embedded_and_after_a_kill(warehouse: Warehouse, tmp_path: Path) -> None:
    """With mini-sd, 40 items."""
    told: dict[str, list[str]] = {}
    for name, workers in (("one", 1), ("three", 3), ("killed", 2)):
        (tmp_path / name).mkdir()
        with Farm(warehouse, tmp_path / name, renderer="CountingModels") as farm:
            for _ in range(workers):
                farm.start_worker()
            with farm.sender() as station:
                job = farm.submit(40, station, steps=4, width=128, height=128)
                if name == "killed":
                    while farm.settled(job) < 12:
                        pass
                    farm.workers[0].kill()
                farm.finish(job, 600)
            told[name] = hashes(job)
    (tmp_path / "embedded").mkdir()
    with Farm(warehouse, tmp_path / "embedded", redis=False, renderer="CountingModels") as farm:
        job = farm.submit(40, steps=4, width=128, height=128)
        farm.start_api()
        farm.finish(job, 600)
        told["embedded"] = hashes(job)
    assert told["three"] == told["killed"] == told["embedded"] == told["one"]
