from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from charaforge.diffusion.bundle import load_bundle
from charaforge.errors import UsageError
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_loras import random_lora

URL = "/api/v1/txt2img"
CONTROL: dict[str, Any] = {"type": "pose", "keypoints": {"people": []}}
BODY: dict[str, Any] = {"prompt": "blue hair girl", "width": 64, "height": 64, "steps": 2, "seed": 1234}


def test_a_picture_is_rendered_and_its_files_are_named(client: TestClient, warehouse: Warehouse) -> None:
    answer = client.post(URL, json=BODY)
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    assert set(reply) == {"image_path", "metadata_path", "elapsed_ms"}
    image, sidecar = Path(reply["image_path"]), Path(reply["metadata_path"])
    assert image.is_relative_to(warehouse.outputs)
    assert (image.name, sidecar.name) == ("0001.png", "0001.json")
    with Image.open(image) as opened:
        assert opened.size == (64, 64)
    told = json.loads(sidecar.read_text(encoding="utf-8"))
    assert (told["request"]["seed"], told["elapsed_ms"]) == (1234, reply["elapsed_ms"])
    again = client.post(URL, json=BODY).json()
    assert Path(again["image_path"]).read_bytes() == image.read_bytes()
    assert again["image_path"] != reply["image_path"]


def test_loras_act_with_their_scales(client: TestClient, warehouse: Warehouse) -> None:
    bundle = load_bundle(warehouse.sd / "tiny-sd", "tiny-sd")
    random_lora(warehouse.lora_folder("charA") / "charA.safetensors", bundle, seed=1)
    bodies = [BODY, {**BODY, "lora_ids": ["charA"]}, {**BODY, "lora_ids": ["charA"], "lora_scales": [0.5]}]
    replies = [client.post(URL, json=body).json() for body in bodies]
    assert len({Path(reply["image_path"]).read_bytes() for reply in replies}) == 3
    told = json.loads(Path(replies[2]["metadata_path"]).read_text(encoding="utf-8"))
    assert told["loras"][0]["weight"] == 0.5


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"scheduler": "euler_b"}, "scheduler", "did you mean 'euler"),
        ({"promt": "x"}, "promt", "did you mean 'prompt'"),
        ({"width": 100}, "width", "multiple of 8"),
        ({"steps": 1000}, "steps", "less than or equal to 150"),
        ({"model": "/etc/passwd"}, "model", "pattern"),
        ({"lora_ids": ["../x"]}, "lora_ids.0", "pattern"),
        ({"lora_ids": ["a"], "lora_scales": [1, 2]}, "body", "one scale per id"),
        ({"lora_ids": ["a", "a"]}, "body", "more than once"),
        ({"prompt": None}, "prompt", "string"),
    ],
)
def test_a_faulty_body_is_told_field_by_field(
    client: TestClient, change: dict[str, Any], field: str, told: str
) -> None:
    answer = client.post(URL, json={**BODY, **change})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert told in problem["errors"][0]["message"]
    assert told in problem["detail"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "tiny-sf"}, "did you mean 'tiny-sd'"),
        ({"lora_ids": ["nobody"]}, "unknown lora model 'nobody'"),
    ],
)
def test_names_that_are_not_there_are_told(client: TestClient, change: dict[str, Any], told: str) -> None:
    answer = client.post(URL, json={**BODY, **change})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:charaforge:unknown-name"
    assert told in answer.json()["detail"]


def test_all_unknown_names_are_told_at_once_and_nothing_is_queued(
    client: TestClient, warehouse: Warehouse
) -> None:
    named = {"model": "tiny-sf", "vae": "none", "lora_ids": ["nobody"], "hires": {"upscaler": "mini-upscale"}}
    body = {
        **BODY,
        **named,
        "prompt": "__hair__ <lora:nobody2:1>",
        "controls": [{**CONTROL, "model": "posee"}],
    }
    answer = client.post(URL, json=body)
    assert answer.status_code == 422
    told = {fault["field"]: fault["message"] for fault in answer.json()["errors"]}
    assert set(told) == {"model", "vae", "lora_ids.0", "hires.upscaler", "controls.0.model", "prompt"}
    assert "did you mean 'mini-upscaler'" in told["hires.upscaler"]
    assert not list(warehouse.batches.rglob("spec.json"))


def test_a_safety_checker_that_is_not_there_stops_the_start(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.main import create_app

    for told in ("on", "maybe"):
        monkeypatch.setenv("API_SAFETY", told)
        with pytest.raises(UsageError, match=f"API_SAFETY={told}"):
            create_app()


def test_a_broken_model_is_a_conflict_and_the_service_goes_on(
    client: TestClient, warehouse: Warehouse
) -> None:
    broken = warehouse.sd / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text("{}", encoding="utf-8")
    answer = client.post(URL, json={**BODY, "model": "broken"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:charaforge:model-file")
    assert client.post(URL, json=BODY).status_code == 200
    assert not list(warehouse.outputs.rglob("*.tmp*"))


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"prompt=x", "application/x-www-form-urlencoded", 415),
        (b"", "", 422),
    ],
)
def test_a_body_that_is_no_json_is_refused(
    client: TestClient, content: bytes, kind: str, status: int
) -> None:
    answer = client.post(URL, content=content, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
