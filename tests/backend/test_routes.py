from __future__ import annotations

import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.torch import save_file

from backend.jobs import queue
from charaforge.diffusion.bundle import load_bundle
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_loras import note_choice, random_lora

API = "/api/v1"
BODY: dict[str, Any] = {"prompt": "blue hair girl", "width": 64, "height": 64, "steps": 2, "seed": 1234}


class Idle:
    """Has no models."""

    def follow_pins(self) -> dict[str, Any]:
        return {}


class SlowGenerator(Idle):
    """Takes a second for 100 steps and then gives up, so that a job is at work for a while."""

    def generate_many(self, requests: Any, on_step: Any, way: Any) -> list[Any]:
        from charaforge.errors import GenerationError

        for step in range(100):
            on_step(step, 100)
            time.sleep(0.01)
        raise GenerationError("no picture")


class Recorder(Idle):
    """Keeps the requests that it was given, and renders none."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def generate_many(self, requests: Any, on_step: Any, way: Any) -> list[Any]:
        from charaforge.errors import GenerationError

        self.seen += requests
        raise GenerationError("no picture")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.jobs.models.ModelRenderer.generator", lambda self: SlowGenerator())


def png(path: Path) -> Path:
    Image.new("RGB", (64, 64), "red").save(path)
    return path


def finished(client: TestClient, job: str) -> dict[str, Any]:
    for _ in range(500):
        told: dict[str, Any] = client.get(job).json()
        if told["state"] not in ("queued", "running"):
            return told
        time.sleep(0.02)
    raise AssertionError(f"{job} does not end")


def test_lora_load_pins_and_unload_frees(client: TestClient, warehouse: Warehouse) -> None:
    bundle = load_bundle(warehouse.sd / "tiny-sd", "tiny-sd")
    random_lora(warehouse.lora_folder("charA") / "charA.safetensors", bundle, seed=1)
    assert client.get(f"{API}/lora/list").json()[0] | {"family": ""} == {
        **{"name": "charA", "kind": "lora", "family": "", "embedded": False},
        **{"file": "charA", "loaded": False, "weight": 1.0},
    }
    note_choice(warehouse.lora_folder("charA") / "charA.safetensors", weight=1.2, chosen_step=50)
    assert client.get(f"{API}/lora/list").json()[0]["weight"] == 1.2
    assert client.post(f"{API}/lora/load", json={"lora_id": "charA"}).json()["loaded"] is True
    assert client.get(f"{API}/lora/list").json()[0]["loaded"] is True
    assert client.post(f"{API}/lora/unload", json={"lora_id": "charA"}).json()["loaded"] is False
    assert client.get(f"{API}/lora/list").json()[0]["loaded"] is False
    unknown = client.post(f"{API}/lora/load", json={"lora_id": "chara"})
    assert (unknown.status_code, "did you mean 'charA'" in unknown.json()["detail"]) == (404, True)


def test_models_and_schedulers_are_told_by_name(client: TestClient) -> None:
    names = {model["name"] for model in client.get(f"{API}/models", params={"kind": "base"}).json()}
    assert {"tiny-sd", "mini-sd"} <= names
    assert client.get(f"{API}/models", params={"kind": "bas"}).status_code == 422
    assert "euler_a" in {scheduler["name"] for scheduler in client.get(f"{API}/schedulers").json()}


def test_a_rendered_picture_is_listed_and_shown(client: TestClient) -> None:
    reply = client.post(f"{API}/txt2img", json=BODY).json()
    (listed,) = client.get(f"{API}/images").json()["images"]
    assert listed["image_path"] == reply["image_path"]
    shown = client.get(listed["url"])
    assert shown.headers["content-type"] == "image/png"
    assert shown.content == Path(reply["image_path"]).read_bytes()
    sidecar = client.get(listed["url"].replace(".png", ".json")).json()
    assert sidecar["request"]["prompt"] == BODY["prompt"]


def test_an_upload_is_named_by_its_bytes(client: TestClient, warehouse: Warehouse) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "WEBP")
    files = {"file": ("x.png", buffer.getvalue())}
    answers = [client.post(f"{API}/uploads", files=files) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    told = answers[0].json()
    assert (told["width"], told["height"], told["format"]) == (8, 6, "WEBP")
    assert [path.name for path in warehouse.uploads.rglob("*.*")] == [f"{told['id']}.webp"]
    missing = client.post(f"{API}/img2img", json={**BODY, "image": "0" * 64})
    assert "no upload" in missing.json()["errors"][0]["message"]


def test_the_same_picture_from_several_at_once_is_one_upload(
    client: TestClient, warehouse: Warehouse
) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((256, 256), 90).save(buffer, "PNG")
    files = {"file": ("x.png", buffer.getvalue())}
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.post, f"{API}/uploads", files=files) for _ in range(24)]
    assert {one.result().status_code for one in asked} == {201}
    assert len([path for path in warehouse.uploads.rglob("*") if path.is_file()]) == 1


def test_a_job_in_the_background(client: TestClient) -> None:
    answer = client.post(f"{API}/txt2img", json=BODY, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    told = finished(client, answer.headers["location"])
    assert (told["state"], told["total"], told["done"], told["pending"]) == ("completed", 1, 1, 0)
    assert Path(told["result"]["image_path"]).is_file()
    assert client.get(f"{API}/jobs/nobody").status_code == 404


@pytest.mark.usefixtures("slow")
def test_a_job_tells_its_steps_and_can_be_stopped(client: TestClient) -> None:
    headers = {"Prefer": "respond-async"}
    first, second = (
        client.post(f"{API}/txt2img", json=BODY, headers=headers).headers["location"] for _ in range(2)
    )
    for _ in range(200):
        told = client.get(first).json()
        if told["step"]:
            break
        time.sleep(0.01)
    assert (told["state"], told["steps"]) == ("running", 100)
    assert client.get(second).json()["state"] == "queued"
    client.post(f"{second}/cancel")
    client.post(f"{first}/cancel")
    assert [finished(client, job)["state"] for job in (first, second)] == ["cancelled", "cancelled"]


@pytest.mark.usefixtures("slow")
def test_a_failed_job_says_why(client: TestClient) -> None:
    answer = client.post(f"{API}/txt2img", json=BODY)
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:charaforge:generation")


@pytest.mark.usefixtures("slow")
def test_a_full_queue_says_when_to_come_back(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_WAITING", 2)
    headers = {"Prefer": "respond-async"}
    answers = [client.post(f"{API}/txt2img", json=BODY, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 503]
    assert answers[2].headers["retry-after"] == "5"
    assert client.get("/ready").status_code == 503


def test_a_lora_that_fits_no_layer_is_not_loaded(client: TestClient, warehouse: Warehouse) -> None:
    tensors = {
        "lora_unet_nowhere_to_q.lora_down.weight": torch.zeros(2, 8),
        "lora_unet_nowhere_to_q.lora_up.weight": torch.zeros(8, 2),
        "lora_unet_nowhere_to_q.alpha": torch.tensor(2.0),
    }
    save_file(tensors, warehouse.lora / "misfit.safetensors")
    told = [client.post(f"{API}/lora/load", json={"lora_id": "misfit"}) for _ in range(2)]
    assert {answer.status_code for answer in told} == {409}, told[0].text
    listed = {one["name"]: one["loaded"] for one in client.get(f"{API}/lora/list").json()}
    assert listed["misfit"] is False


def test_an_idempotency_key_renders_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Idempotency-Key": "k1"}
    replies = [client.post(f"{API}/txt2img", json=BODY, headers=headers) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    other = client.post(f"{API}/txt2img", json={**BODY, "seed": 1}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (409, "urn:charaforge:idempotency")
    monkeypatch.setattr("backend.jobs.models.ModelRenderer.generator", lambda self: SlowGenerator())
    at_work = {"Idempotency-Key": "k2"}
    ask = partial(client.post, f"{API}/txt2img", json=BODY, headers=at_work)
    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    again = ask()
    thread.join()
    assert (again.status_code, again.json()["type"]) == (409, "urn:charaforge:idempotency")


def test_metrics_count_by_route(client: TestClient) -> None:
    client.get(f"{API}/images/a.png")
    client.post(f"{API}/txt2img", json={})
    for path in ("/metrics", f"{API}/metrics"):
        text = client.get(path).text
        assert (
            'charaforge_http_requests_total{method="GET",route="/images/{path:path}",status="404"} 1.0'
            in text
        )
        assert 'route="/txt2img",status="422"} 1.0' in text
        assert "charaforge_jobs_waiting 0.0" in text


@pytest.mark.parametrize("kind", ["pose", "depth", "canny", "lineart"])
def test_control_routes_hand_on_what_they_follow(
    client: TestClient, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("backend.jobs.models.ModelRenderer.generator", lambda self: recorder)
    picture = png(warehouse.root / "a.png")
    (warehouse.root / "pose.json").write_text(json.dumps({"people": []}), encoding="utf-8")
    name = "pose_image" if kind == "pose" else "control_image"
    body = {**BODY, "strength": 0.9, "end": 0.5}
    client.post(f"{API}/controlnet/{kind}", json={**body, name: str(picture)})
    client.post(f"{API}/controlnet/{kind}", json={**body, name: "pose.json"})
    (control,) = recorder.seen[0].controls
    assert (control.type, control.image) == (kind, str(picture.resolve()))
    assert (control.strength, control.end) == (0.9, 0.5)
    if kind == "pose":
        assert recorder.seen[1].controls[0].keypoints == {"people": []}
    else:
        assert len(recorder.seen) == 1


def test_the_bodies_of_the_other_routes_become_requests(
    client: TestClient, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr("backend.jobs.models.ModelRenderer.generator", lambda self: recorder)
    path = str(png(warehouse.root / "a.png"))
    face = {"ip_adapter": {"face_ref": path, "weight": 0.7}}
    client.post(f"{API}/img2img", json={**BODY, "image": path, "denoise": 0.4, **face})
    client.post(
        f"{API}/inpaint", json={**BODY, "image": path, "mask": path, "ip_adapter": [{"style_ref": path}]}
    )
    first, second = recorder.seen
    assert (first.init.denoise, first.init.mask, first.references[0].weight) == (0.4, None, 0.7)
    assert (second.init.mask, second.references[0].style_ref) == (path, path)
    assert client.post(f"{API}/inpaint", json={**BODY, "image": path}).status_code == 422
