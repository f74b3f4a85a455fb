"""`charaforge batch`, `workers` and `gc`, against the service itself."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from charaforge.cli.main import main
from charaforge.client.service import Service
from charaforge.warehouse.layout import Warehouse

URL = "http://localhost:8000"


@pytest.fixture(autouse=True)
def service(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The service, asked without a socket; it draws patterns."""
    from backend.main import create_app

    monkeypatch.setenv("JOB_RENDERER", "pattern:2")
    with TestClient(create_app(), URL, client=("127.0.0.1", 50000)) as inside:

        def carry(request: httpx.Request) -> httpx.Response:
            request.read()
            headers = {name: value for name, value in request.headers.items() if name != "content-length"}
            answer = inside.request(
                request.method, str(request.url), content=request.content, headers=headers
            )
            return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)

        made = Service.__init__

        def wired(self: Service) -> None:
            made(self, URL, transport=httpx.MockTransport(carry))

        monkeypatch.setattr(Service, "__init__", wired)
        yield


def jobs_csv(folder: Path, text: str = "prompt,seed\nx,1..20\n") -> Path:
    path = folder / "jobs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_submit_and_watch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "submit", str(jobs_csv(tmp_path)), "--name", "mine", "--watch"]) == 0
    said = capsys.readouterr()
    assert "job:      mine\npictures: 20\n" in said.out
    assert "pictures: 20 of 20 done, 0 failed, 0 to come" in said.out
    assert main(["batch", "submit", str(jobs_csv(tmp_path)), "--name", "mine"]) == 0
    assert "submitted before" in capsys.readouterr().out
    assert main(["batch", "status"]) == 0
    assert "mine" in capsys.readouterr().out
    assert main(["batch", "status", "mine"]) == 0
    assert "state:    completed" in capsys.readouterr().out
    assert main(["batch", "verify", "mine", "--count", "5"]) == 0
    assert "every byte is the same" in capsys.readouterr().out
    assert main(["batch", "watch", "mine"]) == 0


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["batch", "submit", str(jobs_csv(tmp_path)), "--name", "mine", "--watch"])
    assert main(["batch", "export", "mine", "--out", str(tmp_path / "a.zip"), "--no-sidecars"]) == 0
    assert len(zipfile.ZipFile(tmp_path / "a.zip").namelist()) == 21
    assert main(["batch", "export", "mine", "--out", str(tmp_path / "a.csv")]) == 0
    assert len((tmp_path / "a.csv").read_text(encoding="utf-8-sig").splitlines()) == 21
    assert main(["batch", "export", "mine", "--out", str(tmp_path / "a.tar")]) == 2
    assert capsys.readouterr().out.count("MiB") == 2


def test_faulty_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = jobs_csv(tmp_path, "prompt,seed\nfine,1\nx,one\n")
    assert main(["batch", "submit", str(file)]) == 1
    assert "row 3, column 'seed'" in capsys.readouterr().err
    assert main(["batch", "submit", str(file), "--partial"]) == 0
    assert "refused:  1 rows" in capsys.readouterr().out
    assert (tmp_path / "jobs.refused.csv").read_text(encoding="utf-8-sig").startswith("prompt,seed,reason")


def test_halting_and_stopping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = jobs_csv(tmp_path, "prompt,seed\nx,1..3000\n")
    assert main(["batch", "submit", str(file), "--name", "long"]) == 0
    for what in ("pause", "resume", "cancel"):
        assert main(["batch", what, "long"]) == 0
    assert main(["batch", "watch", "long"]) == 1
    assert "state:    cancelled" in capsys.readouterr().out
    assert main(["batch", "retry", "long"]) == 1
    assert "was cancelled" in capsys.readouterr().err


def test_files_that_cannot_be_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "submit", str(tmp_path / "gone.csv")]) == 2
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as stream:
        stream.truncate(2 * 2**30)
    assert main(["batch", "submit", str(huge)]) == 2
    assert "has 2,048 MiB; a batch file has at most 256" in capsys.readouterr().err
    assert main(["batch", "status", "gone"]) == 1
    assert "there is no job 'gone'" in capsys.readouterr().err


def test_workers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workers"]) == 0
    assert "s ago" in capsys.readouterr().out


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 2048)
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    for folder in path.parents[:3]:
        os.utime(folder, (then, then))
    return path


def test_gc_shows_first_and_deletes_only_when_told_to(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    old = aged(warehouse.uploads / "aa" / "old.png", 40)
    new = aged(warehouse.uploads / "bb" / "new.png", 1)
    cache = aged(warehouse.training_cache / "latents" / "a.safetensors", 40)
    picture = aged(warehouse.outputs / "2020-01-01" / "101010-abcdef" / "0001.png", 40)
    model = aged(warehouse.lora / "mine" / "mine.safetensors", 400)
    left = aged(warehouse.outputs / "2020-01-01" / "111111-abcdef" / ".0001.123-ab.tmp.png", 2)
    assert main(["gc"]) == 0
    said = capsys.readouterr().out
    assert "would go:  6.0 KiB; nothing was deleted" in said
    assert all(path.exists() for path in (old, new, cache, picture, model, left))
    assert main(["gc", "--delete"]) == 0
    assert [path.exists() for path in (old, new, cache, picture, model, left)] == [
        *(False, True, False, True, True, False)
    ]
    assert main(["gc", "pictures", "--delete"]) == 0
    assert not picture.exists()
    assert model.exists()
    assert main(["gc", "picturs"]) == 2
    assert "did you mean 'pictures'" in capsys.readouterr().err


def test_gc_leaves_jobs_that_have_not_ended(
    tmp_path: Path, warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["batch", "submit", str(jobs_csv(tmp_path)), "--name", "done", "--watch"])
    main(["batch", "submit", str(jobs_csv(tmp_path, "prompt,seed\nx,1..3000\n")), "--name", "open"])
    main(["batch", "pause", "open"])
    upload = aged(warehouse.uploads / "aa" / "old.png", 40)
    spec = json.loads((warehouse.batches / "done" / "spec.json").read_text(encoding="utf-8"))
    assert main(["gc", "pictures", "jobs", "uploads", "--older-than", "0", "--delete"]) == 0
    assert not (warehouse.batches / "done").exists()
    assert not (warehouse.outputs / spec["out"]).exists()
    assert (warehouse.batches / "open" / "spec.json").is_file()
    assert upload.exists(), "an open job may need it"
    assert "deleted:" in capsys.readouterr().out
