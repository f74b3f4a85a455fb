"""The likeness of a batch's pictures: queued when the batch has ended, told with its status."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import save_file

from charaforge.cli.main import main
from charaforge.warehouse.layout import Warehouse

URL = "http://localhost:8000"
BATCH = "/api/v1/batch"
REFERENCES = 12


@pytest.fixture
def batches(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service; it draws patterns, and scores them in this process."""
    from backend.main import create_app
    from charaforge.jobstore.job import Job

    def run_here(job: Job, may_go_on: object) -> None:
        assert main(list(job.spec.command)) == 0

    monkeypatch.setattr("backend.jobs.station.run_command", run_here)
    monkeypatch.setenv("JOB_RENDERER", "pattern")
    with TestClient(create_app(), URL, client=("127.0.0.1", 50000)) as client:
        yield client


@pytest.fixture
def lora(warehouse: Warehouse) -> str:
    """A LoRA that says which table it was trained on; the references are noise."""
    folder, pictures = warehouse.lora_folder("mochi"), warehouse.raw / "mochi"
    folder.mkdir(parents=True)
    pictures.mkdir(parents=True)
    rows = ["image_path,character,split"]
    for number in range(REFERENCES):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(pictures / f"{number}.png")
        rows.append(f"datasets/raw/mochi/{number}.png,mochi,ref")
    table = warehouse.metadata / "mochi.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    save_file({"lora_unet_x.lora_down.weight": np.zeros((4, 4))}, folder / "mochi.safetensors")
    (folder / "resolved_config.yaml").write_text(
        f"model_id: mini-sd\ndataset_meta: {table}\n", encoding="utf-8"
    )
    return "mochi"


def until(client: TestClient, job_id: str, what: str) -> dict[str, Any]:
    for _ in range(300):
        told: dict[str, Any] = client.get(f"{BATCH}/status/{job_id}").json()
        if told[what]:
            return told
        time.sleep(0.05)
    raise AssertionError(told)


def test_a_batch_that_is_to_be_scored(batches: TestClient, warehouse: Warehouse, lora: str) -> None:
    file = {"file": ("a.csv", f"prompt,seed,lora\nx,1..5,{lora}:0.8\ny,9,\n")}
    job_id = batches.post(f"{BATCH}/submit?score=true", files=file).json()["job_id"]
    told = until(batches, job_id, "scores")["scores"][lora]
    assert told["pictures"] == 5
    assert -1.0 <= told["likeness_lowest"] <= told["likeness_mean"] <= 1.0
    assert 0.0 < told["consistency"] <= 1.0001
    assert told["judge"] == "mini-identity"
    items = batches.get(f"{BATCH}/{job_id}/items").json()["items"]
    assert [item["likeness"] is not None for item in items] == [True] * 5 + [False]
    assert items[0]["likeness"] >= told["likeness_lowest"]
    place = warehouse.outputs / told_folder(batches, job_id) / "scores.csv"
    assert len(list(csv.reader(place.read_text(encoding="utf-8").splitlines()))) == 6


def told_folder(client: TestClient, job_id: str) -> str:
    return str(client.get(f"{BATCH}/status/{job_id}").json()["folder"])


def test_a_batch_is_not_scored_unasked_but_later(batches: TestClient, lora: str) -> None:
    file = {"file": ("a.csv", f"prompt,seed,lora\nx,1..3,{lora}\n")}
    job_id = batches.post(f"{BATCH}/submit", files=file).json()["job_id"]
    assert until(batches, job_id, "ended")["scores"] is None
    answer = batches.post(f"{BATCH}/{job_id}/score")
    assert answer.status_code == 202
    until(batches, job_id, "scores")


def test_pictures_without_a_character(batches: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = batches.post(f"{BATCH}/submit", json=[{"prompt": "x"}]).json()["job_id"]
    until(batches, job_id, "ended")
    assert main(["score", job_id]) == 3
    assert "none names a LoRA" in capsys.readouterr().err
