"""Training, curation and evaluation over HTTP, each run to its end by the real verb: small, with mini-sd."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.training.journal import read_events
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL

pytestmark = pytest.mark.launch

API = "/api/v1"
LORA = "mochi_mini-sd_r4"
ENDED = ("completed", "completed_with_errors", "cancelled", "failed")
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A warehouse with 36 pictures of a character; what one test makes, the next one uses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AI_CACHE_ROOT", str(tmp_path_factory.mktemp("studio")))
        patch.setenv("REDIS_URL", "memory://")
        patch.setenv("JOB_RENDERER", "pattern")
        warehouse = bootstrap()
        draw_character(Character.from_seed(5), warehouse.root / "drawn", 36, warehouse)
        pictures = warehouse.raw / "mochi"
        pictures.mkdir()
        for picture in (warehouse.root / "drawn").glob("*.png"):
            picture.rename(pictures / picture.name)
        yield warehouse


@pytest.fixture(scope="module")
def service(studio: Warehouse) -> Iterator[TestClient]:
    from backend.main import create_app

    with TestClient(create_app(), URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(autouse=True)
def environment(studio: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verbs work where the service does, not where each test has its own."""
    monkeypatch.setenv("AI_CACHE_ROOT", str(studio.root))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def asked(client: TestClient, path: str, **body: Any) -> str:
    answer = client.post(f"{API}{path}", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def until(client: TestClient, job_id: str, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for a job until something is true of it."""
    start = time.monotonic()
    while True:
        told: dict[str, Any] = client.get(f"{API}/jobs/{job_id}").json()
        if true(told):
            return told
        assert told["state"] not in ENDED, told
        assert time.monotonic() - start < PATIENCE_S, told
        time.sleep(0.1)


def ended(client: TestClient, job_id: str) -> dict[str, Any]:
    return until(client, job_id, lambda told: told["state"] in ENDED)


def log_of(studio: Warehouse, job_id: str) -> Path:
    return studio.batches / job_id / "log.txt"


def test_a_folder_becomes_a_table(service: TestClient, studio: Warehouse) -> None:
    job_id = asked(service, "/curate", folder="datasets/raw/mochi", character="mochi")
    told = ended(service, job_id)
    assert (told["state"], told["done"], told["problem"]) == ("completed", 1, None), told
    assert (studio.metadata / "mochi.parquet").is_file()
    assert "mochi.parquet" in told["note"]
    assert "INFO" not in told["note"]


def test_a_training_is_cancelled_and_goes_on_where_it_was(service: TestClient, studio: Warehouse) -> None:
    body: dict[str, Any] = {
        "data": "datasets/metadata/mochi.parquet",
        "character": "mochi",
        "model": "mini-sd",
    }
    body |= {"rank": 4, "batch_size": 1, "steps": 40}
    first = asked(service, "/train", **body)
    at_work = until(service, first, lambda told: told["step"] > 0 and told["steps"] == 40)
    assert at_work["state"] == "running"
    assert "training" in at_work["note"]
    start = time.monotonic()
    service.post(f"{API}/jobs/{first}/cancel")
    assert ended(service, first)["state"] == "cancelled"
    assert time.monotonic() - start < 30
    again = asked(service, "/train", **body)
    told = ended(service, again)
    assert (told["state"], told["done"]) == ("completed", 1), log_of(studio, again).read_text("utf-8")[-2000:]
    lora = studio.lora_folder(LORA)
    assert (lora / f"{LORA}.safetensors").is_file()
    assert str(lora) in told["note"]
    events = [event["event"] for event in read_events(lora / "events.jsonl")]
    assert "resume" in events
    listed = service.get(f"{API}/lora/list").json()
    assert LORA in {one["name"] for one in listed}


def test_a_report_is_made_though_two_pictures_prove_nothing(service: TestClient, studio: Warehouse) -> None:
    job_id = asked(service, "/eval/report", lora=LORA, max_prompts=2, seeds=1, drift_prompts=0)
    told = ended(service, job_id)
    log = log_of(studio, job_id).read_text("utf-8")
    assert (told["state"], told["problem"]["type"]) == ("failed", "urn:charaforge:failed"), log[-2000:]
    assert (told["report"]["status"], told["report"]["passed"]) == ("measured", False)
    assert told["report"]["pictures"] == 2
    assert Path(told["report"]["report_path"]).is_file()
