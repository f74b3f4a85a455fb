from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.schemas.sdapi import Image2Image, Text2Image
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
        ("txt2img", {"width": 10**400, "enable_hr": True, "hr_scale": 2.5}, 422),
        ("txt2img", {"height": 10**400}, 422),
        ("txt2img", {"enable_hr": True, "hr_scale": 10**400}, 422),
        ("txt2img", {"seed": 10**400}, 422),
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


@pytest.mark.parametrize(
    ("route", "change", "named"),
    [
        ("txt2img", {"tiling": True}, "tiling"),
        ("txt2img", {"styles": ["x"]}, "styles"),
        ("txt2img", {"refiner_checkpoint": "x"}, "refiner_checkpoint"),
        ("txt2img", {"override_settings": {"eta_noise_seed_delta": 3}}, "eta_noise_seed_delta"),
        ("txt2img", {"enable_hr": True, "hr_sampler_name": "DDIM"}, "hr_sampler_name"),
        ("txt2img", {"enable_hr": True, "hr_resize_x": 128, "hr_resize_y": 320}, "hr_resize_y"),
        ("txt2img", {"enable_hr": True, "hr_upscaler": "R-ESRGAN 4x+"}, "hr_upscaler"),
        ("txt2img", {"enable_hr": True, "hr_scale": 1}, "hr_scale"),
        ("txt2img", {"cfg_scale": 90}, "cfg_scale"),
        ("img2img", {"inpainting_fill": 3, "mask": "x"}, "inpainting_fill"),
        ("img2img", {"resize_mode": 2}, "resize_mode"),
        ("img2img", {"mask_blur": 1000, "mask": True}, "mask"),
    ],
)
def test_a_field_that_is_not_offered_is_named(
    a1111: TestClient, route: str, change: dict[str, Any], named: str
) -> None:
    start = {"init_images": [base64_of(Image.new("RGB", (64, 64)))]} if route == "img2img" else {}
    answer = a1111.post(f"{SD}/{route}", json={**BODY, **start, **change})
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]


def base64_of(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def told_by(body: dict[str, Any], **image: Any) -> dict[str, Any]:
    """Return the request that a body becomes."""
    model = Image2Image if image else Text2Image
    return model.model_validate({**body, **image}).request()


def test_nulls_are_defaults_and_names_of_models_lose_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    nulls = dict.fromkeys((*Text2Image.model_fields, "styles", "eta", "tiling"))
    assert told_by(nulls) == told_by({})
    for told in ("mini-sd.safetensors [0123abcdef]", "sd/mini-sd.safetensors", "mini-sd"):
        assert told_by({"override_settings": {"sd_model_checkpoint": told}})["model"] == "mini-sd"
    for vae in ("Automatic", "None", None, ""):
        assert told_by({"override_settings": {"sd_vae": vae}})["vae"] is None
    assert told_by({"override_settings": {"sd_vae": "v.vae.safetensors"}})["vae"] == "v.vae"
    assert told_by({})["scheduler"] == "euler_uniform"
    assert told_by({"sampler_name": "DPM++ 2M"})["scheduler"] == "dpmpp_2m_karras"


def test_second_passes() -> None:
    told = told_by({"enable_hr": True, "hr_scale": 1.7, "hr_upscaler": "Lanczos", "hr_scheduler": ""})
    assert (told["width"], told["height"]) == (872, 872)
    assert (told["hires"]["scale"], told["hires"]["upscaler"]) == (1.7, "lanczos")
    told = told_by({"enable_hr": True, "width": 512, "height": 768, "hr_resize_x": 1024})
    assert (told["width"], told["height"], told["hires"]["scale"]) == (1024, 1536, 2.0)
    assert "hires" not in told_by({"hr_scale": 0, "hr_prompt": "x"})


def test_masks_fills_and_areas() -> None:
    told = told_by({}, init_images=["x"], mask="x")["init"]
    assert told == {"denoise": 0.75, "mask_blur": 4, "fill": "blur", "area": "masked", "padding": 0}
    told = told_by({"inpaint_full_res": False}, init_images=["x"], mask="x", inpainting_fill=1)["init"]
    assert (told["fill"], "area" in told) == ("original", False)


def test_an_inverted_mask_keeps_what_is_white(a1111: TestClient) -> None:
    start = Image.new("RGB", (64, 64), "red")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    body = {**BODY, "init_images": [base64_of(start)], "mask": base64_of(mask), "mask_blur": 0}
    kept = []
    for invert in (0, 1):
        more = {"inpainting_mask_invert": invert, "inpainting_fill": 1, "inpaint_full_res": False}
        answer = a1111.post(f"{SD}/img2img", json={**body, **more, "denoising_strength": 1})
        assert answer.status_code == 200, answer.text
        made = picture(answer.json()["images"][0])
        kept.append([made.getpixel((8, 32)) == (255, 0, 0), made.getpixel((56, 32)) == (255, 0, 0)])
    assert kept == [[False, True], [True, False]]


def test_a_picture_of_another_aspect_is_stretched_or_cut(a1111: TestClient, warehouse: Warehouse) -> None:
    wide = Image.new("RGB", (128, 64), "blue")
    wide.paste("red", (0, 0, 32, 64))  # a quarter; cutting to a square takes it away
    for mode, left in ((0, (255, 0, 0)), (1, (0, 0, 255))):
        body = {**BODY, "init_images": [base64_of(wide)], "resize_mode": mode, "denoising_strength": 0}
        made = picture(a1111.post(f"{SD}/img2img", json=body).json()["images"][0])
        assert made.getpixel((4, 32)) == left
