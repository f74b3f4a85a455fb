"""The client against the service itself, without a socket between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from charaforge.client.service import Service
from charaforge.errors import ServiceError
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_sd

URL = "http://localhost:8000"
SMALL = {"width": 64, "height": 64, "steps": 2, "seed": 7}


@pytest.fixture
def service(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    from backend.main import create_app

    monkeypatch.setenv("DEFAULT_MODEL", "tiny-sd")
    tiny_sd(warehouse.sd / "tiny-sd")
    app = create_app()
    with TestClient(app, URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as inside:

        def carry(request: httpx.Request) -> httpx.Response:
            request.read()
            answer = inside.request(
                request.method, str(request.url), content=request.content, headers=dict(request.headers)
            )
            return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

        with Service(URL, transport=httpx.MockTransport(carry)) as service:
            yield service


def test_a_picture_and_its_history(service: Service) -> None:
    assert service.health().ok
    assert service.ready().waiting == 0
    reply = service.txt2img("blue hair", **SMALL)
    (listed,) = service.outputs().images
    assert listed.image_path == reply.image_path
    assert service.image(listed.url) == Path(reply.image_path).read_bytes()
    told = service.inspect(reply.image_path)
    assert told.source == "charaforge"
    assert told.request is not None
    assert told.request["prompt"] == "blue hair"
    assert "Steps: 2" in told.parameters
    with pytest.raises(ServiceError, match="outside the folders"):
        service.inspect("/etc/passwd")
    assert "charaforge_http_requests_total" in service.metrics()


def test_a_job(service: Service) -> None:
    job = service.wait(service.submit("/txt2img", "blue hair", **SMALL).job_id)
    assert job.state == "completed"
    assert job.result is not None
    assert service.cancel(job.job_id).state == "completed"


def test_names(service: Service) -> None:
    assert "tiny-sd" in {model.name for model in service.models("base")}
    assert service.loras() == []
    assert "euler_a" in {scheduler.name for scheduler in service.schedulers()}


def test_an_upload_can_be_used(service: Service, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    upload = service.upload(tmp_path / "a.png")
    assert Path(service.img2img("blue hair", upload.id, **SMALL).image_path).is_file()


def test_a_refusal_is_told_as_the_service_tells_it(service: Service) -> None:
    with pytest.raises(ServiceError, match="did you mean 'tiny-sd'") as refused:
        service.txt2img("x", model="tiny-sf", **SMALL)
    assert (refused.value.status, refused.value.kind) == (422, "unknown-name")


def test_a_service_that_is_not_there_says_how_to_start_it() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with (
        Service(URL, transport=httpx.MockTransport(broken)) as service,
        pytest.raises(ServiceError, match="cannot be reached") as lost,
    ):
        service.health()
    assert "uvicorn backend.main:app" in lost.value.hint


def test_another_program_at_the_address_is_told() -> None:
    other = httpx.MockTransport(lambda request: httpx.Response(200, text="hello"))
    with Service(URL, transport=other) as service, pytest.raises(ServiceError, match="does not answer as"):
        service.models()


def test_token_and_address_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t" * 32)
    monkeypatch.setenv("CHARAFORGE_API_URL", "http://lab:1234/")
    seen: list[httpx.Request] = []

    def remember(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[])

    with Service(transport=httpx.MockTransport(remember)) as service:
        service.loras()
    assert str(seen[0].url) == "http://lab:1234/api/v1/lora/list"
    assert seen[0].headers["authorization"] == f"Bearer {'t' * 32}"


def test_a_batch_from_submission_to_archive(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "jobs.csv"
    file.write_text(
        "prompt,seed,width,height,steps\nblue hair,1..3,64,64,1\nx,one,64,64,1\n", encoding="utf-8"
    )
    with pytest.raises(ServiceError, match="row 3, column 'seed'"):
        service.batches.submit(file)
    reply = service.batches.submit(file, partial=True, key="once")
    assert (reply.total, reply.refused is not None) == (3, True)
    assert service.batches.submit(file, partial=True, key="once").known
    seen: list[int] = []
    ended = service.batches.watch(reply.job_id, lambda status: seen.append(status.done))
    assert (ended.state, seen[-1]) == ("completed", 3)
    assert [item.request["seed"] for item in service.batches.items(reply.job_id)] == [1, 2, 3]
    assert [one.job_id for one in service.batches.list()] == [reply.job_id]
    assert service.batches.archive(reply.job_id, tmp_path / "a.zip") == (tmp_path / "a.zip").stat().st_size
    again = service.batches.verify(reply.job_id, 3)
    assert service.wait(again.job_id).done == 3
    with pytest.raises(ServiceError, match="there is no job"):
        list(service.batches.events("none"))
    with pytest.raises(ServiceError, match="cannot pause"):
        service.batches.act(reply.job_id, "pause")


def test_a_watch_outlives_a_service_that_is_started_anew() -> None:
    answers = iter([httpx.ConnectError("refused"), "event: status\ndata: {DATA}\n\n", "{DATA}"])
    data = '{"job_id":"a","state":"completed","total":1,"done":1,"failed":0,"pending":0,"created":""}'

    def restarted(request: httpx.Request) -> httpx.Response:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(200, text=answer.replace("{DATA}", data))

    seen: list[str] = []
    with Service(URL, transport=httpx.MockTransport(restarted)) as service:
        service.batches.watch("a", lambda status: seen.append(status.state))
    assert seen == ["completed", "completed"]
