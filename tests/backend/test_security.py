"""One test per rule; each was seen to fail with its guard removed."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.core.guard import MAX_BODY
from backend.core.settings import Settings
from charaforge.errors import UsageError
from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL

TOKEN = "0123456789abcdef0123456789abcdef"
TXT2IMG = "/api/v1/txt2img"
IMG2IMG = "/api/v1/img2img"


def kind(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:charaforge:")


def png(width: int = 8, height: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def huge_png() -> bytes:
    """Return a PNG of 60 bytes whose header says 30,000 × 30,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + png()[-12:]


@pytest.fixture
def with_token(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    from backend.main import create_app

    monkeypatch.setenv("API_TOKEN", TOKEN)
    return TestClient(create_app(), URL, client=("192.168.1.7", 50000))


def test_a_short_token_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    with pytest.raises(UsageError, match="6 characters; at least 32"):
        Settings().token()


def test_a_stranger_without_a_token_is_told_what_to_set(client: TestClient) -> None:
    stranger = TestClient(client.app, URL, client=("192.168.1.7", 50000))
    answer = stranger.get("/api/v1/models")
    assert kind(answer) == (403, "not-local")
    assert "API_TOKEN" in answer.json()["detail"]
    assert stranger.get("/health").status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer wrong", f"Basic {TOKEN}", "Bearer ", "Bearer é"])
def test_with_a_token_everybody_needs_it(with_token: TestClient, header: str) -> None:
    local = TestClient(with_token.app, URL, client=("127.0.0.1", 50000))
    for caller in (with_token, local):
        for path in ("/api/v1/models", "/metrics", "/api/v1/openapi.json", "/ui"):
            answer = caller.get(path, headers={"Authorization": header.encode()})
            assert kind(answer) == (401, "token-needed")
            assert answer.headers["www-authenticate"] == "Bearer"
    assert with_token.get("/api/v1/health").status_code == 200


def test_the_token_opens(with_token: TestClient) -> None:
    answer = with_token.get("/api/v1/schedulers", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200


def test_a_browser_logs_in_once_and_keeps_a_cookie_without_the_token(with_token: TestClient) -> None:
    assert "password" in with_token.get("/login").text
    assert kind(with_token.post("/login", json={"token": "x"})) == (401, "token-wrong")
    answer = with_token.post("/login", json={"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 204
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert with_token.get("/api/v1/schedulers").status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "localhost.evil.test:8000", ""])
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/v1/models", headers={"Host": host})
    assert kind(answer) == (403, "foreign-host")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "192.168.1.7"])
def test_own_hosts_are_served(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/schedulers", headers={"Host": host}).status_code == 200


def test_allowed_hosts_are_served(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.main import create_app

    monkeypatch.setenv("API_ALLOWED_HOSTS", "Lab.example.org")
    client = TestClient(create_app(), "http://lab.example.org:8000", client=("127.0.0.1", 50000))
    assert client.get("/api/v1/schedulers").status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://localhost:3000", "http://[", "http://[x]:a"]
)
def test_a_foreign_origin_is_refused(client: TestClient, origin: str) -> None:
    answer = client.post(TXT2IMG, json={"prompt": "x"}, headers={"Origin": origin})
    assert kind(answer) == (403, "foreign-origin")
    upload = client.post("/api/v1/uploads", files={"file": png()}, headers={"Origin": origin})
    assert kind(upload) == (403, "foreign-origin")


def test_its_own_pages_and_programs_are_served(client: TestClient) -> None:
    assert client.post(TXT2IMG, json={}, headers={"Origin": URL}).status_code == 422
    assert client.post(TXT2IMG, json={}).status_code == 422


@pytest.mark.parametrize(
    "content", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""]
)
def test_what_a_form_can_post_is_refused(client: TestClient, content: str) -> None:
    headers = {"Content-Type": content} if content else {}
    answer = client.post(TXT2IMG, content=b'{"prompt": "x"}', headers=headers)
    assert kind(answer) == (415, "content-type")


def test_40_mb_are_refused_announced_or_streamed(client: TestClient) -> None:
    big = b'{"prompt": "' + b"x" * MAX_BODY + b'"}'
    json_type = {"Content-Type": "application/json"}
    assert kind(client.post(TXT2IMG, content=big, headers=json_type)) == (413, "too-large")
    pieces = (big[start : start + 2**20] for start in range(0, len(big), 2**20))
    assert client.post(TXT2IMG, content=pieces, headers=json_type).status_code == 413


def test_no_answer_may_be_sniffed(client: TestClient) -> None:
    for path in ("/health", "/api/v1/images/nothing.png", "/login"):
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


OUTSIDE = [
    "/etc/passwd",
    "../../etc/passwd",
    "outputs/../../outside.png",
    "http://evil.test/a.png",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("field", ["image", "mask", "face_ref"])
def test_paths_outside_the_roots_are_refused_whether_there_or_not(
    client: TestClient, warehouse: Warehouse, field: str, path: str
) -> None:
    (warehouse.root.parent / "outside.png").write_bytes(png())
    (warehouse.root / "in.png").write_bytes(png())
    body: dict[str, Any] = {"prompt": "x", "image": "in.png"}
    body |= {"ip_adapter": {"face_ref": path}} if field == "face_ref" else {field: path}
    answer = client.post(IMG2IMG, json=body)
    assert kind(answer) == (422, "invalid-request")
    (fault,) = answer.json()["errors"]
    assert fault["field"].endswith(field)
    assert "outside the folders" in fault["message"] or "there is no file" in fault["message"]


def test_a_link_that_leads_out_is_refused(client: TestClient, warehouse: Warehouse) -> None:
    outside = warehouse.root.parent / "outside.png"
    outside.write_bytes(png())
    (warehouse.outputs / "link.png").symlink_to(outside)
    answer = client.post(IMG2IMG, json={"prompt": "x", "image": str(warehouse.outputs / "link.png")})
    assert "outside the folders" in answer.json()["detail"]
    assert client.get("/api/v1/images/link.png").status_code == 404


def test_links_of_the_owner_and_input_roots_are_followed(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.core.inputs import InputFiles

    for name in ("disk", "poses"):
        folder = warehouse.root.parent / name
        folder.mkdir()
        (folder / "a.png").write_bytes(png())
    (warehouse.raw / "linked").symlink_to(warehouse.root.parent / "disk")
    monkeypatch.setenv("API_INPUT_ROOTS", f"/nowhere, {warehouse.root.parent / 'poses'}")
    files = InputFiles(warehouse, Settings().input_roots)
    for told in (warehouse.raw / "linked" / "a.png", warehouse.root.parent / "poses" / "a.png"):
        assert files.resolve(str(told)).name == "a.png"


@pytest.mark.parametrize(
    "path", ["%2e%2e/%2e%2e/hf/token.png", "../../secret.json", "/etc/passwd", "a\0.png"]
)
def test_images_serve_nothing_but_outputs(client: TestClient, warehouse: Warehouse, path: str) -> None:
    (warehouse.root / "secret.json").write_text("{}")
    (warehouse.root / "hf" / "token.png").write_bytes(png())
    answer = client.get(f"/api/v1/images/{path.replace(chr(0), '%00')}")
    assert (answer.status_code, "token" in answer.text) in ((404, False), (404, True))
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("data", [b"\x80\x04N.", b"GIF89a", b"<svg/>", b"", png()[:40]])
def test_uploads_are_pictures_of_three_formats(client: TestClient, warehouse: Warehouse, data: bytes) -> None:
    answer = client.post("/api/v1/uploads", files={"file": ("a.png", data)})
    assert kind(answer) == (415, "picture")
    assert [path for path in warehouse.uploads.rglob("*") if path.is_file()] == []


def test_a_bomb_is_known_by_its_header(client: TestClient, warehouse: Warehouse) -> None:
    assert kind(client.post("/api/v1/uploads", files={"file": ("a.png", huge_png())})) == (413, "picture")
    (warehouse.root / "bomb.png").write_bytes(huge_png())
    answer = client.post(IMG2IMG, json={"prompt": "x", "image": "bomb.png"})
    assert "pixels" in answer.json()["detail"]


def test_a_pickle_is_refused_by_name(client: TestClient, warehouse: Warehouse) -> None:
    (warehouse.sd / "evil.ckpt").write_bytes(b"\x80\x04N.")
    answer = client.post(TXT2IMG, json={"prompt": "x", "model": "evil"})
    assert kind(answer) == (409, "model-file")
    assert "pickle" in answer.json()["detail"]


@pytest.mark.parametrize("model", ["runwayml/stable-diffusion-v1-5", "/models/x.safetensors", "../x"])
def test_models_are_named_neither_by_path_nor_by_hub_id(client: TestClient, model: str) -> None:
    for change in ({"model": model}, {"vae": model}, {"lora_ids": [model]}):
        answer = client.post(TXT2IMG, json={"prompt": "x", **change})
        assert kind(answer) == (422, "invalid-request")
        assert "pattern" in answer.json()["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 151},
        {"width": 2056},
        {"height": 100},
        {"prompt": "x" * 8193},
        {"lora_ids": [f"l{place}" for place in range(9)]},
        {"output_dir": "/tmp"},
    ],
)
def test_caps(client: TestClient, change: dict[str, Any]) -> None:
    answer = client.post(TXT2IMG, json={"prompt": "x", "width": 64, "height": 64, **change})
    assert kind(answer) == (422, "invalid-request")
    assert {fault["field"] for fault in answer.json()["errors"]} == set(change)


def test_uploads_of_more_than_32_mib_are_streamed(client: TestClient, warehouse: Warehouse) -> None:
    padded = png()[:-12] + b"".join(_text_chunk() for _ in range(35)) + png()[-12:]
    assert len(padded) > MAX_BODY
    answer = client.post("/api/v1/uploads", files={"file": ("a.png", padded)})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    (stored,) = warehouse.uploads.glob("*/*.png")
    assert (stored.stem, told["bytes"], told["width"]) == (told["id"], len(padded), 8)


def _text_chunk() -> bytes:
    data = b"tEXtComment\0" + b" " * 2**20
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def test_prompts_stay_out_of_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    body = {"prompt": "a secret wish", "width": 64, "height": 64, "steps": 1}
    assert client.post(TXT2IMG, json=body).status_code == 200
    assert "secret wish" not in caplog.text


def test_the_openapi_is_no_page_of_another_host(client: TestClient) -> None:
    assert client.get("/docs").status_code == 404
    assert json.dumps(client.get("/api/v1/openapi.json").json()).count("cdn") == 0
