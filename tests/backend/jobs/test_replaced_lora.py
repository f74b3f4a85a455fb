"""A LoRA that is replaced while a batch runs: never pictures of both, and somebody is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.jobs.models import ModelRenderer
from charaforge.jobstore.job import Job
from charaforge.jobstore.shard import ShardWork
from charaforge.jobstore.store import JobStore
from charaforge.jobstore.work import Worker
from charaforge.warehouse.layout import Warehouse
from tests.backend.jobs.farm import wish
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_sd


def lora_of(warehouse: Warehouse, seed: int) -> Path:
    """Write the LoRA charA anew, as a training or the choice of a checkpoint does."""
    import torch

    from charaforge.diffusion.bundle import load_bundle

    folder = warehouse.sd / "tiny-sd"
    bundle = load_bundle(folder, "tiny-sd", torch.device("cpu"), torch.float32, {})
    made = random_lora(warehouse.lora / ".new.safetensors", bundle, seed=seed)
    return made.replace(warehouse.lora / "charA.safetensors")


def replaced_after(monkeypatch: pytest.MonkeyPatch, micro_batches: int, warehouse: Warehouse) -> None:
    original, seen = ShardWork._group, []

    def group(self: ShardWork, items: list[object]) -> None:
        original(self, items)  # type: ignore[arg-type]
        seen.append(items)
        if len(seen) == micro_batches:
            lora_of(warehouse, seed=2)

    monkeypatch.setattr(ShardWork, "_group", group)


def test_a_batch_is_halted_and_goes_on_with_the_former_file(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_sd(warehouse.sd / "tiny-sd")
    before = lora_of(warehouse, seed=1).read_bytes()
    store = JobStore(warehouse)
    worker = Worker(store, ModelRenderer(warehouse), lambda job, go_on: None, lambda job: None)
    fields = {"model": "tiny-sd", "loras": [{"name": "charA"}]}
    job = store.submit([wish(number, **fields) for number in range(3)])
    replaced_after(monkeypatch, 1, warehouse)
    assert worker.do(job.id, 0) == "given back"
    told = store.status(job)
    assert (told.paused_by, told.done, told.failed) == ("fault", 1, 0)
    assert "the lora charA was replaced" in told.note
    (warehouse.lora / "charA.safetensors").write_bytes(before)
    job.resume()
    assert worker.do(job.id, 0) == "done"
    worker.executor.shutdown()
    assert {sha256_of_the_lora(job, number) for number in (1, 2, 3)} == {sha256_of_the_lora(job, 1)}


def sha256_of_the_lora(job: Job, item: int) -> str:
    told = job.pictures.told(item)
    assert told is not None
    return str(told["loras"][0]["sha256"])


def test_everything_that_decides_pixels_is_told(warehouse: Warehouse) -> None:
    tiny_sd(warehouse.sd / "tiny-sd")
    lora_of(warehouse, seed=1)
    request = wish(1, model="tiny-sd", loras=[{"name": "charA"}]).request.plain()
    (picture,) = ModelRenderer(warehouse).render([request], 1, None, lambda done, total: None)
    told = picture.weights()
    assert set(told) == {"model tiny-sd", "lora charA"}
    recipe = picture.image.recipe
    assert list(told.values()) == [recipe["model"]["sha256"], recipe["loras"][0]["sha256"]]
