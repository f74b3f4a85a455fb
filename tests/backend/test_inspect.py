"""`POST /inspect` on pictures of other programs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

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
