"""A batch of 100,000 pictures over HTTP: taken in, watched and stopped in time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL
from tests.backend.test_batch import BATCH

pytestmark = pytest.mark.slow

ITEMS = 100_000
SUBMIT_S, STATUS_S, CANCEL_S = 15.0, 0.1, 2.0


@pytest.fixture
def service(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from backend.main import create_app

    monkeypatch.setenv("JOB_RENDERER", "pattern")
    with TestClient(create_app(), URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client


def test_100_000_rows(service: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    head = "prompt,negative,seed,width,height,steps\n"
    rows = "".join(
        f'"girl {n}, blue hair, looking at viewer",bad hands,{n},512,512,25\n' for n in range(ITEMS)
    )
    start = time.process_time()
    answer = service.post(f"{BATCH}/submit", files={"file": ("a.csv", head + rows)})
    submit_s = time.process_time() - start
    assert answer.json()["total"] == ITEMS
    job_id, waits = answer.json()["job_id"], []
    for _ in range(100):
        asked = time.monotonic()
        status = service.get(f"{BATCH}/status/{job_id}").json()
        waits.append(time.monotonic() - asked)
        time.sleep(0.02)
    asked = time.monotonic()
    service.post(f"{BATCH}/cancel/{job_id}")
    while not (status := service.get(f"{BATCH}/status/{job_id}").json())["ended"]:
        time.sleep(0.02)
    cancel_s = time.monotonic() - asked
    waits.sort()
    with capsys.disabled():
        sys.stdout.write(
            f"\n100,000 rows: submitted in {submit_s:.1f} s of CPU, status p50 {1000 * waits[50]:.0f} ms, "
            f""
            f"p95 {1000 * waits[95]:.0f} ms while this process renders, cancelled in {cancel_s:.2f} s\n"
        )
    assert (status["state"], status["total"]) == ("cancelled", ITEMS)
    assert submit_s <= SUBMIT_S
    assert waits[95] <= STATUS_S, "embedded: the worker shares this process"
    assert cancel_s <= CANCEL_S
