from __future__ import annotations

import subprocess
import sys

import pytest
from fastapi.testclient import TestClient

from backend.core.settings import Settings
from backend.jobs.broker import EMBEDDED, choose_broker
from charaforge.errors import WarehouseError
from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_health(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json()["ok"] is True


@pytest.mark.parametrize("host", ["192.168.1.7", "2001:db8::1", "testclient"])
def test_other_machines_are_refused_but_may_ask_for_health(client: TestClient, host: str) -> None:
    stranger = TestClient(client.app, URL, client=(host, 50000))
    answer = stranger.post("/api/v1/txt2img", json={"prompt": "girl"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:charaforge:not-local")
    assert stranger.get("/api/v1/health").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_served_under_all_its_addresses(client: TestClient, host: str) -> None:
    local = TestClient(client.app, URL, client=(host, 50000))
    assert local.post("/api/v1/txt2img", json={}).status_code == 422


def test_an_unknown_route_is_a_problem_document(client: TestClient) -> None:
    answer = client.get("/api/v1/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_only_listed_origins_pass_cors(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.main import create_app

    monkeypatch.setenv("API_CORS_ORIGINS", "http://localhost:3000, http://localhost:7860/")
    client = TestClient(create_app(), URL, client=("127.0.0.1", 50000))
    for origin, passed in (("http://localhost:7860", "http://localhost:7860"), ("http://evil.test", None)):
        answer = client.get("/api/v1/health", headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == passed


def test_one_embedded_service_per_warehouse(client: TestClient) -> None:
    from backend.main import create_app

    with pytest.raises(WarehouseError, match="another CharaForge service"), TestClient(create_app()):
        pass


def test_the_api_imports_no_torch() -> None:
    """In a process of its own, because this one has torch already."""
    code = (
        "import sys, backend.main, backend.api.txt2img, backend.jobs.tasks\n"
        "print([name for name in ('torch', 'diffusers', 'peft', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_memory_is_chosen_when_asked_for_or_when_no_redis_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.jobs.broker.LOCAL_REDIS", "redis://127.0.0.1:1/0")
    assert choose_broker("memory://") == EMBEDDED
    assert choose_broker("redis://elsewhere:6379/0") == "redis://elsewhere:6379/0"


def test_redis_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://somewhere:6379/0")
    assert Settings().redis_url == "redis://somewhere:6379/0"
