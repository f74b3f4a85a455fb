"""`POST /inspect` on pictures of other programs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from backend.schemas.pictures import Img2ImgBody, InpaintBody, PictureBody, Txt2ImgBody, posted
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.prompts import settle

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

API = "/api/v1"
TEXT = "girl\nNegative prompt: bad\nSteps: 25, Sampler: Euler, CFG scale: 7, Seed: 3, Size: 512x768, ENSD: 1"


def upload(client: TestClient, texts: dict[str, str]) -> str:
    """Upload a picture with these texts; return its id."""
    chunks, buffer = PngInfo(), io.BytesIO()
    for name, text in texts.items():
        chunks.add_text(name, text)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    answer = client.post(f"{API}/uploads", files={"file": ("a.png", buffer.getvalue())})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_picture_of_a1111_becomes_a_request(client: TestClient) -> None:
    told = client.post(f"{API}/inspect", json={"image": upload(client, {"parameters": TEXT})}).json()
    assert (told["source"], told["parameters"]) == ("a1111", TEXT)
    assert (told["request"]["prompt"], told["request"]["steps"]) == ("girl", 25)
    assert "ENSD: 1" in told["unmapped"]


def test_a_picture_that_says_nothing_or_nonsense(client: TestClient) -> None:
    for texts in ({}, {"charaforge": '{"request": 3}', "prompt": "[[", "invokeai_metadata": "[" * 5000}):
        answer = client.post(f"{API}/inspect", json={"image": upload(client, texts)})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["source"], answer.json()["request"]) == ("", None)


BODIES: dict[str, type[PictureBody]] = {
    "/txt2img": Txt2ImgBody,
    "/img2img": Img2ImgBody,
    "/inpaint": InpaintBody,
}
PICTURE = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("route", "fields"),
    [
        ("/txt2img", {"hires": {"scale": 2.0}, "variation": {"seed": 3, "strength": 0.5}, "guidance": 4.5}),
        ("/txt2img", {"loras": [{"name": "a", "weight": 0.5}, {"name": "b@20", "weight": -1}]}),
        ("/txt2img", {"loras": [{"name": "a", "te_weight": 0.5}, {"name": "b", "blocks": {"IN01": 0.5}}]}),
        ("/txt2img", {"references": [{"face_ref": PICTURE, "weight": 0.4}, {"style_ref": PICTURE}]}),
        ("/txt2img", {"controls": [{"type": "depth", "image": PICTURE, "strength": 0.3, "end": 0.5}]}),
        ("/img2img", {"init": {"image": PICTURE, "denoise": 0.3}}),
        ("/inpaint", {"init": {"image": PICTURE, "mask": PICTURE, "fill": "noise", "area": "masked"}}),
    ],
)
def test_a_request_becomes_a_body_that_says_the_same(
    route: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    asked = GenerationRequest.model_validate({"prompt": "girl", "seed": 4, "vae": "v", **fields})
    told, body = posted(asked)
    assert told == route
    assert settle(BODIES[route].model_validate(body).request(), tmp_path) == asked


def rendered(client: TestClient, route: str, body: dict[str, Any]) -> Path:
    answer = client.post(f"{API}{route}", json=body)
    assert answer.status_code == 200, answer.text
    return Path(answer.json()["image_path"])


def test_what_is_inspected_can_be_posted_and_gives_the_same_picture(client: TestClient) -> None:
    start = upload(client, {})
    body = {"prompt": "girl", "image": start, "denoise": 0.5, "steps": 2, "width": 64, "height": 64}
    first = rendered(client, "/img2img", body)
    told = client.post(f"{API}/inspect", json={"image": str(first)}).json()
    assert (told["route"], told["body"]["image"]) == ("/img2img", f"sha256:{start}")
    assert told["unmapped"] == []
    assert rendered(client, told["route"], told["body"]).read_bytes() == first.read_bytes()


def test_an_input_that_is_not_here_is_told(client: TestClient) -> None:
    request = {"prompt": "girl", "init": {"image": PICTURE}}
    picture = upload(client, {"charaforge": json.dumps({"request": request})})
    told = client.post(f"{API}/inspect", json={"image": picture}).json()
    assert any("there is no upload abab" in line for line in told["unmapped"])
    answer = client.post(f"{API}{told['route']}", json=told["body"])
    assert answer.status_code == 422
    assert "uploads first" in answer.json()["detail"]
