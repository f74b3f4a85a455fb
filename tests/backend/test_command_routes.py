"""`POST /train`, `/curate`, `/eval/report`: bodies become commands of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import save_file

from charaforge.cli.main import load_verb
from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL

API = "/api/v1"


@pytest.fixture
def service(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service; its worker takes commands for done without running them."""
    from backend.main import create_app

    monkeypatch.setattr("backend.jobs.station.run_command", lambda job, may_go_on: None)
    with TestClient(create_app(), URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client


def command(client: TestClient, path: str, body: dict[str, Any]) -> argparse.Namespace:
    """Queue a command; return it as its verb reads it."""
    answer = client.post(f"{API}{path}", json=body)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"{API}/jobs/{job_id}"
    words = client.app.state.queue.store.job(job_id).spec.command  # type: ignore[attr-defined]
    parser = argparse.ArgumentParser(exit_on_error=False)
    load_verb(words[0]).add_arguments(parser)
    return parser.parse_args(words[1:])


def test_train(service: TestClient, warehouse: Warehouse) -> None:
    data = warehouse.raw / "mochi"
    data.mkdir(parents=True)
    body = {"data": "datasets/raw/mochi", "character": "--fresh", "steps": 30, "learning_rate": 1e-4}
    args = command(service, "/train", {**body, "rank": 8, "check": True})
    assert (args.data, args.character, args.steps, args.rank) == (data.resolve(), "--fresh", 30, 8)
    assert (args.check, args.fresh, args.out, args.learning_rate) == (True, False, None, 1e-4)
    args = command(service, "/train", {"config": "charA_sd15_r16"})
    assert args.config.name == "charA_sd15_r16.yaml"
    assert args.config.is_file()


def test_curate(service: TestClient, warehouse: Warehouse) -> None:
    (warehouse.raw / "mochi").mkdir(parents=True)
    args = command(service, "/curate", {"folder": "datasets/raw/mochi", "character": "mochi", "style": "ink"})
    assert (args.character, args.style) == ("mochi", "ink")
    assert args.folder == (warehouse.raw / "mochi").resolve()


def test_eval(service: TestClient, warehouse: Warehouse) -> None:
    save_file({"lora_unet_x.lora_down.weight": np.zeros((4, 4))}, warehouse.lora / "mine.safetensors")
    args = command(service, "/eval/report", {"lora": "mine", "max_prompts": 3})
    assert (args.lora, args.max_prompts, args.seeds) == ("mine", 3, 4)
    assert args.prompts.is_file()
    assert Path(args.out).parent == warehouse.outputs / "eval"


def test_a_key_queues_once(service: TestClient, warehouse: Warehouse) -> None:
    body, key = {"config": "charA_sd15_r16"}, {"Idempotency-Key": "k"}
    first, again = (service.post(f"{API}/train", json=body, headers=key) for _ in range(2))
    assert first.json()["job_id"] == again.json()["job_id"]
    other = service.post(f"{API}/train", json={**body, "steps": 5}, headers=key)
    assert (other.status_code, other.json()["type"]) == (409, "urn:charaforge:idempotency")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/train", {}, "data"),
        ("/train", {"data": "datasets/raw", "config": "charA_sd15_r16"}, "data"),
        ("/train", {"data": "datasets/raw"}, "character"),
        ("/train", {"config": "charA_sd15_r61"}, "config"),
        ("/train", {"config": "/etc/passwd"}, "config"),
        ("/train", {"config": "../../x.yaml"}, "config"),
        ("/train", {"data": "/etc", "character": "x"}, "data"),
        ("/train", {"config": "charA_sd15_r16", "output_dir": "/tmp"}, "output_dir"),
        ("/curate", {"folder": "/etc", "character": "x"}, "folder"),
        ("/curate", {"folder": "datasets/raw/none", "character": "x"}, "folder"),
        ("/curate", {"folder": "datasets/raw", "character": "../x"}, "character"),
    ],
)
def test_what_is_refused(service: TestClient, path: str, body: dict[str, Any], field: str) -> None:
    answer = service.post(f"{API}{path}", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_an_unknown_lora(service: TestClient) -> None:
    answer = service.post(f"{API}/eval/report", json={"lora": "none"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:charaforge:unknown-name")
