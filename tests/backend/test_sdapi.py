from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL
from tests.fixtures.tiny_models import tiny_sd

SD = "/sdapi/v1"
BODY: dict[str, Any] = {
    **{"prompt": "girl", "width": 64, "height": 64, "steps": 2, "seed": 5},
    **{"sampler_name": "Euler a", "scheduler": "Automatic", "cfg_scale": 6, "restore_faces": False},
}


@pytest.fixture
def a1111(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from backend.main import create_app

    monkeypatch.setenv("API_SDAPI", "1")
    monkeypatch.setenv("DEFAULT_MODEL", "tiny-sd")
    tiny_sd(warehouse.sd / "tiny-sd")
    with TestClient(create_app(), URL, client=("127.0.0.1", 1)) as client:
        yield client


def picture(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_it_is_off_by_default(client: TestClient) -> None:
    assert client.get(f"{SD}/samplers").status_code == 404


def test_pictures_come_as_base64_with_their_seeds(a1111: TestClient) -> None:
    answer = a1111.post(f"{SD}/txt2img", json={**BODY, "batch_size": 2})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    info = json.loads(told["info"])
    assert info["all_seeds"] == [5, 6]
    assert "Sampler: Euler a" in info["infotexts"][0]
    assert [picture(image).size for image in told["images"]] == [(64, 64)] * 2
    texts = a1111.post(f"{SD}/png-info", json={"image": told["images"][0]}).json()
    assert texts["info"] == info["infotexts"][0]
    told_again = {key: texts["parameters"][key] for key in ("Prompt", "Sampler", "Seed", "Size-1", "Size-2")}
    assert told_again == {
        "Prompt": BODY["prompt"],
        "Sampler": "Euler a",
        "Seed": "5",
        "Size-1": "64",
        "Size-2": "64",
    }
    again = a1111.post(
        f"{SD}/img2img", json={**BODY, "init_images": [f"data:image/png;base64,{told['images'][0]}"]}
    )
    assert picture(again.json()["images"][0]).size == (64, 64)


def test_what_clients_ask_first(a1111: TestClient) -> None:
    assert "Euler a" in {sampler["name"] for sampler in a1111.get(f"{SD}/samplers").json()}
    assert "Karras" in {schedule["label"] for schedule in a1111.get(f"{SD}/schedulers").json()}
    assert "tiny-sd" in {model["title"] for model in a1111.get(f"{SD}/sd-models").json()}
    assert a1111.get(f"{SD}/loras").json() == []
    assert a1111.get(f"{SD}/options").json()["sd_model_checkpoint"] == "tiny-sd"
    assert a1111.get(f"{SD}/progress").json()["progress"] == 0
    assert a1111.post(f"{SD}/interrupt").json() == {}
    assert a1111.post(f"{SD}/options", json={}).status_code == 405


@pytest.mark.parametrize(
    ("route", "change", "status"),
    [
        ("txt2img", {"sampler_name": "Nobody"}, 422),
        ("txt2img", {"steps": 1000}, 422),
        ("txt2img", {"alwayson_scripts": {"controlnet": {}}}, 422),
        ("img2img", {"init_images": ["http://evil.test/a.png"]}, 422),
        ("img2img", {"init_images": ["AAAA"]}, 415),
        ("png-info", {"image": "/etc/passwd"}, 422),
    ],
)
def test_what_is_not_done_is_told(a1111: TestClient, route: str, change: dict[str, Any], status: int) -> None:
    answer = a1111.post(f"{SD}/{route}", json={**BODY, **change})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
