"""Batches over HTTP: taken in whole or not at all, watched, halted, verified."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL

API = "/api/v1"
BATCH = f"{API}/batch"
ENDED = ("completed", "completed_with_errors", "cancelled", "failed")


@pytest.fixture
def batches(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service with its embedded worker, which draws patterns."""
    from backend.main import create_app

    monkeypatch.setenv("JOB_RENDERER", "pattern:5")
    with TestClient(create_app(), URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client


def submit(client: TestClient, text: str | bytes, name: str = "a.csv", **more: Any) -> Any:
    return client.post(f"{BATCH}/submit", files={"file": (name, text)}, **more)


def queued(client: TestClient, text: str, **more: Any) -> str:
    answer = submit(client, text, **more)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def ended(client: TestClient, job_id: str) -> dict[str, Any]:
    for _ in range(600):
        told: dict[str, Any] = client.get(f"{BATCH}/status/{job_id}").json()
        if told["state"] in ENDED:
            return told
        time.sleep(0.02)
    raise AssertionError(f"{job_id} does not end: {told}")


def until(client: TestClient, job_id: str, done: int) -> None:
    for _ in range(600):
        if client.get(f"{BATCH}/status/{job_id}").json()["done"] >= done:
            return
        time.sleep(0.02)
    raise AssertionError(f"{job_id} does not get on")


def test_a_csv_to_its_end(batches: TestClient, warehouse: Warehouse) -> None:
    answer = submit(batches, "prompt,seed\nx,1..9\ny,\n")
    assert answer.status_code == 202
    told = answer.json()
    assert (told["total"], told["read_as"], told["refused"]) == (10, "CSV, utf-8, comma", None)
    assert answer.headers["location"] == f"{BATCH}/status/{told['job_id']}"
    status = ended(batches, told["job_id"])
    assert (status["state"], status["done"], status["failed"], status["pending"]) == ("completed", 10, 0, 0)
    assert status["options"]["file"] == "a.csv"
    page = batches.get(f"{BATCH}/{told['job_id']}/items", params={"first": 9, "count": 1}).json()
    assert page["next"] == 10
    (item,) = page["items"]
    assert (item["state"], item["request"]["seed"], item["note"]) == ("done", 9, {"row": 2})
    assert Path(item["image_path"]).is_relative_to(warehouse.outputs)
    assert batches.get(item["url"]).content == Path(item["image_path"]).read_bytes()
    assert batches.get(f"{BATCH}/{told['job_id']}/items", params={"first": 11}).json()["items"] == []
    assert [one["job_id"] for one in batches.get(BATCH).json()["batches"]] == [told["job_id"]]
    assert batches.get(BATCH, params={"state": "failed"}).json()["batches"] == []
    assert batches.get(f"{API}/jobs/{told['job_id']}").json()["done"] == 10


def test_json_as_a_body_and_as_a_file(batches: TestClient) -> None:
    grid = {"items": [{"prompt": "hat"}], "axes": {"steps": [1, 2], "replace": ["hat", "cap"]}, "score": True}
    answer = batches.post(f"{BATCH}/submit", json=grid)
    assert answer.status_code == 202, answer.text
    assert answer.json()["total"] == 4
    assert batches.get(answer.headers["location"]).json()["options"]["score"] is True
    assert submit(batches, json.dumps(grid["items"]), "grid.json").json()["total"] == 1


def test_all_faults_are_told_and_nothing_is_queued(batches: TestClient) -> None:
    answer = submit(batches, "prompt,seed,width\nfine,1,512\nx,one,513\n,2,512\n")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    places = [(error["row"], error["column"]) for error in problem["errors"]]
    assert sorted(places) == [(3, "seed"), (3, "width"), (4, "prompt")]
    assert "row 3, column 'seed'" in problem["detail"]
    assert "?partial=true" in problem["detail"]
    assert batches.get(BATCH).json()["batches"] == []


@pytest.mark.parametrize("form", [True, False])
def test_partial_queues_the_sound_rows_and_gives_the_others_back(batches: TestClient, form: bool) -> None:
    text = 'prompt,seed\nfine,1\n"=HYPERLINK(""x"")",2\nx,one\n'
    more: dict[str, Any] = {"data": {"partial": "true"}} if form else {"params": {"partial": "true"}}
    answer = submit(batches, text, **more)
    assert answer.status_code == 202
    told = answer.json()
    assert (told["total"], told["refused"]["rows"]) == (1, 2)
    lines = told["refused"]["csv"].splitlines()
    assert lines[0] == "prompt,seed,reason"
    assert lines[1].startswith("\"'=HYPERLINK(")
    assert lines[2].startswith('x,one,"seed: is no whole number')
    again = submit(batches, text, headers={"Idempotency-Key": "k"}, **more)
    repeated = submit(batches, text, headers={"Idempotency-Key": "k"}, **more)
    assert (again.status_code, repeated.status_code) == (202, 200)
    assert repeated.json()["refused"] == again.json()["refused"] == told["refused"]


def test_partial_does_not_take_a_file_without_a_sound_row(batches: TestClient) -> None:
    for text in ("prompt,seed\nx,one\n", "promt,seed\nx,1\n", 'prompt,seed\nfine,1\n"open,2\n'):
        assert submit(batches, text, params={"partial": "true"}).status_code == 422


def test_a_key_queues_once(batches: TestClient) -> None:
    key = {"Idempotency-Key": "k"}
    first = submit(batches, "prompt,seed\nx,-1\n", headers=key)
    again = submit(batches, "prompt,seed\nx,-1\n", headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["job_id"] == first.json()["job_id"]
    assert again.json()["known"] is True
    other = submit(batches, "prompt,seed\ny,-1\n", headers=key)
    assert (other.status_code, other.json()["type"]) == (409, "urn:charaforge:idempotency")


def test_a_name_of_the_client_s(batches: TestClient) -> None:
    file = {"file": ("a.csv", "prompt,seed\nx,1\n")}
    assert batches.put(f"{BATCH}/mine-1", files=file).status_code == 202
    assert batches.put(f"{BATCH}/mine-1", files=file).status_code == 200
    other = batches.put(f"{BATCH}/mine-1", files={"file": ("a.csv", "prompt,seed\nx,2\n")})
    assert other.status_code == 409
    assert ended(batches, "mine-1")["done"] == 1
    for name in (".hidden", "status", "cancel", "submit"):
        assert batches.put(f"{BATCH}/{name}", files=file).status_code == 422


def test_the_same_key_at_the_same_time_waits(batches: TestClient) -> None:
    from backend.jobs.queue import job_id_of

    with batches.app.state.in_flight.holding(job_id_of("k")):  # type: ignore[attr-defined]
        answer = submit(batches, "prompt\nx\n", headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "2")


def test_files_that_requests_name_are_found_and_told(batches: TestClient, warehouse: Warehouse) -> None:
    Image.new("RGB", (64, 64), "red").save(warehouse.uploads / "pose.png")
    answer = submit(batches, "prompt,pose_image\nx,uploads/pose.png\ny,/etc/passwd\n")
    assert [(e["row"], e["column"]) for e in answer.json()["errors"]] == [(3, "pose_image")]
    assert "outside the folders" in answer.json()["detail"]


def test_other_bodies_are_refused(batches: TestClient) -> None:
    assert (
        batches.post(f"{BATCH}/submit", content=b"a=b", headers={"Content-Type": "text/csv"}).status_code
        == 415
    )
    assert batches.post(f"{BATCH}/submit", files={"other": ("a.csv", "x")}).status_code == 422
    assert (
        batches.post(
            f"{BATCH}/submit", content=b"{", headers={"Content-Type": "application/json"}
        ).status_code
        == 422
    )
    assert batches.post(f"{BATCH}/x/pause", files={"file": ("a.csv", "x")}).status_code == 415
    large = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(2 * 2**30)}
    answer = batches.post(f"{BATCH}/submit", content=iter([b"x"]), headers=large)
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "the body is larger than 256 MiB; send less",
    )


def test_too_many_rows(batches: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_MAX_ITEMS", "100")
    answer = submit(batches, "prompt\n" + "x\n" * 101)
    assert "101 rows, more than 100 pictures" in answer.json()["detail"]


def test_pause_resume_cancel(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..2000\n")
    until(batches, job_id, 1)
    assert batches.post(f"{BATCH}/{job_id}/pause").status_code == 200
    time.sleep(0.6)
    halted = batches.get(f"{BATCH}/status/{job_id}").json()
    assert (halted["state"], halted["paused_by"]) == ("paused", "request")
    assert halted["done"] < 2000
    assert batches.post(f"{BATCH}/{job_id}/resume").status_code == 200
    until(batches, job_id, halted["done"] + 8)
    start = time.monotonic()
    assert batches.post(f"{BATCH}/cancel/{job_id}").status_code == 200
    stopped = ended(batches, job_id)
    assert time.monotonic() - start < 2.0
    assert (stopped["state"], stopped["pending"] > 0) == ("cancelled", True)
    for what in ("pause", "resume", "retry-failed"):
        assert batches.post(f"{BATCH}/{job_id}/{what}").status_code == 409
    assert batches.post(f"{BATCH}/cancel/{job_id}").json()["state"] == "cancelled"


def messages(text: str) -> list[tuple[str, str, Any]]:
    """Id, name and data of server-sent events."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


def test_events_are_resumed_where_they_broke_off(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..70\n")
    seen = messages(batches.get(f"{BATCH}/{job_id}/events").text)
    names = [name for _, name, _ in seen]
    assert names[0] == "submitted"
    assert "finished" in names
    assert (names[-1], seen[-1][2]["state"]) == ("status", "completed")
    numbered = [(number, name) for number, name, _ in seen if number]
    for place, (number, _) in enumerate(numbered):
        again = messages(batches.get(f"{BATCH}/{job_id}/events", headers={"Last-Event-ID": number}).text)
        assert [(n, name) for n, name, _ in again if n] == numbered[place + 1 :]
    for number in ("9" * 5000, "x"):
        answer = batches.get(f"{BATCH}/{job_id}/events", headers={"Last-Event-ID": number})
        assert answer.status_code == 200


def test_the_archive_holds_every_picture(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..5\n@_@,9\n")
    ended(batches, job_id)
    answer = batches.get(f"{BATCH}/{job_id}/archive")
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert len(archive.namelist()) == 13
    items = batches.get(f"{BATCH}/{job_id}/items").json()["items"]
    assert archive.read("0003.png") == Path(items[2]["image_path"]).read_bytes()
    table = archive.read("pictures.csv").decode().splitlines()
    assert len(table) == 7
    assert "'@_@" in table[6]
    few = zipfile.ZipFile(io.BytesIO(batches.get(f"{BATCH}/{job_id}/archive?sidecars=false").content))
    assert len(few.namelist()) == 7


def test_the_archive_leaves_out_what_is_damaged(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..5\n")
    ended(batches, job_id)
    item = batches.get(f"{BATCH}/{job_id}/items").json()["items"][2]
    Path(item["image_path"]).write_bytes(b"cut off")
    archive = zipfile.ZipFile(io.BytesIO(batches.get(f"{BATCH}/{job_id}/archive").content))
    assert "0003.png" not in archive.namelist()
    assert len(archive.read("pictures.csv").decode().splitlines()) == 5
    batches.post(f"{BATCH}/{job_id}/retry-failed")
    ended(batches, job_id)
    archive = zipfile.ZipFile(io.BytesIO(batches.get(f"{BATCH}/{job_id}/archive").content))
    assert "0003.png" in archive.namelist()


def test_a_batch_that_is_halted_for_a_fault_says_why(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..2000\n")
    job = batches.app.state.queue.store.job(job_id)  # type: ignore[attr-defined]
    job.pause_for_fault("the lora charA was replaced")
    told = batches.get(f"{BATCH}/status/{job_id}").json()
    assert (told["state"], told["paused_by"], told["note"]) == (
        *("paused", "fault"),
        "the lora charA was replaced",
    )
    assert batches.get(f"{API}/jobs/{job_id}").json()["note"] == "the lora charA was replaced"
    assert batches.post(f"{BATCH}/{job_id}/resume").json()["state"] in ("queued", "running")
    batches.post(f"{BATCH}/cancel/{job_id}")


def test_a_batch_that_is_written_is_not_refused(batches: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up between the two: somebody who sent it again would have it twice."""

    def full(job: object) -> None:
        raise OSError(28, "No space left on device")

    dispatcher = batches.app.state.queue.station.dispatcher  # type: ignore[attr-defined]
    monkeypatch.setattr(dispatcher, "top_up", full)
    job_id = queued(batches, "prompt,seed\nx,1..3\n")
    assert batches.post(f"{BATCH}/cancel/{job_id}").status_code == 200


def test_verify_finds_what_was_changed(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..11\n")  # eight together, three alone
    assert batches.post(f"{BATCH}/{job_id}/verify", json={"count": 0}).status_code == 422
    ended(batches, job_id)
    made = batches.post(f"{BATCH}/{job_id}/verify", json={"count": 11}).json()
    assert made["total"] == 11
    same = ended(batches, made["job_id"])
    assert (same["kind"], same["state"], same["done"]) == ("verify", "completed", 11)
    item = batches.get(f"{BATCH}/{job_id}/items").json()["items"][4]
    sidecar = Path(item["image_path"]).with_suffix(".json")
    told = json.loads(sidecar.read_text(encoding="utf-8"))
    sidecar.write_text(json.dumps({**told, "sha256": "0" * 64}), encoding="utf-8")
    made = batches.post(f"{BATCH}/{job_id}/verify", json={"count": 11}).json()
    differs = ended(batches, made["job_id"])
    assert (differs["state"], differs["failed"]) == ("completed_with_errors", 1)
    assert differs["failures"][0]["row"] == 2
    assert "not as it was" in differs["failures"][0]["message"]
    failed = batches.get(f"{BATCH}/{made['job_id']}/items", params={"failed": "true"}).json()
    assert [one["note"]["item"] for one in failed["items"]] == [5]


def test_verify_looks_at_the_pictures_themselves(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..11\n")
    ended(batches, job_id)
    items = batches.get(f"{BATCH}/{job_id}/items").json()["items"]
    altered, gone = (Path(items[place]["image_path"]) for place in (1, 6))
    altered.write_bytes(altered.read_bytes()[:-1] + b"x")
    gone.unlink()
    made = batches.post(f"{BATCH}/{job_id}/verify", json={"count": 11}).json()
    told = ended(batches, made["job_id"])
    assert (told["done"], told["failed"]) == (9, 2)
    failed = batches.get(f"{BATCH}/{made['job_id']}/items", params={"failed": "true"}).json()
    assert {one["note"]["item"] for one in failed["items"]} == {2, 7}


def test_nothing_to_verify(batches: TestClient) -> None:
    job_id = queued(batches, "prompt,seed\nx,1..2000\n")
    batches.post(f"{BATCH}/cancel/{job_id}")
    ended(batches, job_id)
    answer = batches.post(f"{BATCH}/{job_id}/verify")
    assert answer.status_code in (202, 409)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "status/x"),
        ("get", "x/items"),
        ("get", "x/events"),
        ("get", "x/archive"),
        ("post", "cancel/x"),
        ("post", "x/pause"),
        ("post", "x/resume"),
        ("post", "x/retry-failed"),
        ("post", "x/verify"),
    ],
)
def test_a_batch_that_is_not_there(batches: TestClient, method: str, path: str) -> None:
    answer = batches.request(method, f"{BATCH}/{path}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:charaforge:unknown-job")


def test_workers(batches: TestClient) -> None:
    told = batches.get(f"{API}/workers").json()
    assert told["place"] == "embedded"
    assert [worker["alive"] for worker in told["workers"]] == [True]
