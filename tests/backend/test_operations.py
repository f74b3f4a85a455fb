"""What operators look at: log lines with ids, metrics, who asks how often."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from backend.core import json_logs
from backend.jobs.measuring import SECONDS, Measured, Meter
from charaforge.errors import GenerationError
from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL
from tests.backend.test_batch import BATCH, ended, queued

API = "/api/v1"


@pytest.fixture
def patterns(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from backend.main import create_app

    monkeypatch.setenv("JOB_RENDERER", "pattern:2")
    monkeypatch.setattr("backend.jobs.station.HEARTBEAT_S", 0.05)
    with TestClient(create_app(), URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The log lines since this was last asked."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


def test_the_ids_of_request_and_job_go_from_end_to_end(
    patterns: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    file = {"file": ("a.csv", "prompt,seed\nx,1..3\n")}
    answer = patterns.post(f"{BATCH}/submit", files=file, headers={"X-Request-ID": "trace-7"})
    assert answer.headers["x-request-id"] == "trace-7"
    job_id = answer.json()["job_id"]
    ended(patterns, job_id)
    mine = [line for line in told(capsys) if line.get("request_id") == "trace-7"]
    asked = next(line for line in mine if line.get("route") == "/batch/submit")
    assert (asked["status"], asked["method"], asked["level"]) == (202, "POST", "INFO")
    worked = next(line for line in mine if line["logger"] == "backend.jobs.tasks")
    assert (worked["job_id"], worked["shard"]) == (job_id, 0)


def test_an_id_that_would_break_lines_is_replaced(patterns: TestClient) -> None:
    for given in ("a b", "x" * 65, ""):
        made = patterns.get(f"{API}/schedulers", headers={"X-Request-ID": given}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{16}", made)


def test_probes_do_not_fill_the_log(patterns: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys)
    for path in ("/health", f"{API}/ready", "/metrics"):
        assert patterns.get(path).status_code == 200
    assert told(capsys) == []


def test_an_error_stands_in_one_line_and_prompts_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    json_logs.configure()
    try:
        raise ValueError("broken\nover two lines")
    except ValueError:
        with json_logs.bound(job_id="j", request_id=""):
            logging.getLogger("backend.test").exception("it failed")
    (line,) = told(capsys)
    assert (line["level"], line["job_id"], "request_id" in line) == ("ERROR", "j", False)
    assert "over two lines" in str(line["error"])


def test_text_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "text")
    json_logs.configure()
    logging.getLogger("backend.test").info("hello")
    assert capsys.readouterr().err == "INFO backend.test: hello\n"
    monkeypatch.setenv("LOG_FORMAT", "jsn")
    with pytest.raises(Exception, match="LOG_FORMAT"):
        json_logs.configure()


def test_metrics_of_jobs_and_workers(patterns: TestClient) -> None:
    job_id = queued(patterns, "prompt,seed\nx,1..2000\n")
    patterns.post(f"{BATCH}/{job_id}/pause")
    text = patterns.get("/metrics").text
    pending = re.search(r'charaforge_items{queue="batch",state="pending"} (\S+)', text)
    assert pending is not None
    assert 0 < float(pending[1]) <= 2000
    assert "charaforge_workers 1.0" in text
    patterns.post(f"{BATCH}/cancel/{job_id}")
    other = queued(patterns, "prompt,seed\nx,1..5\n")
    ended(patterns, other)
    for _ in range(100):
        text = patterns.get("/metrics").text
        count = re.search(r'charaforge_item_seconds_count{worker="[^"]+"} (\S+)', text)
        if count and float(count[1]) >= 5:
            break
    assert 'le="+Inf"' in text
    assert 'route="/batch/submit"' in text


def test_pictures_and_errors_are_counted() -> None:
    class Two:
        def render(self, requests: object, size: int, rung: object, on_step: object) -> Iterator[str]:
            yield "a"
            raise GenerationError("no more")

    meter = Meter()
    with pytest.raises(GenerationError):
        list(Measured(Two(), meter).render([], 1, None, lambda *_: None))  # type: ignore[arg-type]
    facts = meter.facts()
    assert (sum(facts["buckets"]), facts["errors"]) == (1, {"generation": 1})
    assert len(facts["buckets"]) == len(SECONDS) + 1
