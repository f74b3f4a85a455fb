"""`POST /eval/report` takes what `charaforge eval` takes; each choice of settings has a folder of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import save_file

from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import Failure
from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.layout import Warehouse
from tests.backend.conftest import URL
from tests.backend.test_command_routes import API, command


@pytest.fixture
def lora(warehouse: Warehouse) -> str:
    save_file({"lora_unet_x.lora_down.weight": np.zeros((4, 4))}, warehouse.lora / "mine.safetensors")
    return "mine"


def test_all_options(service: TestClient, warehouse: Warehouse, lora: str) -> None:
    others = warehouse.raw / "others"
    others.mkdir(parents=True)
    prompts = warehouse.raw / "fresh.json"
    prompts.write_text("[]", encoding="utf-8")
    body: dict[str, Any] = {
        "lora": lora,
        "impostors": "datasets/raw/others",
        "drift_prompts": 0,
        "certificate": True,
    }
    body |= {"certificate": True, "choose": True, "fresh_prompts": "datasets/raw/fresh.json"}
    args = command(service, "/eval/report", body)
    assert (args.impostors, args.fresh_prompts) == (others.resolve(), prompts.resolve())
    assert (args.drift_prompts, args.certificate, args.choose) == (0, True, True)
    plain = command(service, "/eval/report", {"lora": lora})
    assert (plain.drift_prompts, plain.certificate, plain.choose) == (10, False, False)


def test_other_settings_have_another_folder(service: TestClient, warehouse: Warehouse, lora: str) -> None:
    bodies: list[dict[str, Any]] = [{}, {"weight": 0.5}, {"weight": 0.6}, {"choose": True}, {"seeds": 4}]
    places = [Path(command(service, "/eval/report", {"lora": lora, **body}).out) for body in bodies]
    assert places[0] == places[4] == warehouse.outputs / "eval" / "mine"
    assert len(set(places)) == 4
    assert {place.parent for place in places} == {warehouse.outputs / "eval"}
    assert command(service, "/eval/report", {"lora": lora, "weight": 0.5}).out == places[1], "goes on there"


def test_a_weight_that_is_not_named_is_the_one_chosen(service: TestClient, lora: str) -> None:
    assert command(service, "/eval/report", {"lora": lora}).weight is None, "the command takes the chosen one"
    assert command(service, "/eval/report", {"lora": lora, "weight": None}).weight is None
    assert command(service, "/eval/report", {"lora": lora, "weight": 1}).weight == 1.0


Work = Callable[[Job, object], Failure | None]


@pytest.fixture
def work() -> list[Work]:
    """What the worker does instead of running a command; the last counts."""
    return [lambda job, may_go_on: None]


@pytest.fixture
def service(warehouse: Warehouse, work: list[Work], monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    from backend.main import create_app

    monkeypatch.setattr("backend.jobs.station.run_command", lambda job, may: work[-1](job, may))
    with TestClient(create_app(), URL, client=("127.0.0.1", 50000), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("slug", [None, "failed", "not-measurable", "usage"])
def test_the_job_tells_what_was_found(
    work: list[Work], service: TestClient, warehouse: Warehouse, lora: str, slug: str | None
) -> None:
    out = warehouse.outputs / "eval" / "mine"
    told: dict[str, Any] = {"status": "not measurable", "why": "5 references"}
    if slug in (None, "failed"):
        share = {"estimate": 0.9, "low": 0.85, "high": 0.94, "pictures": 160}
        told = {"status": "measured", "arms": [{"name": "traits"}, {"name": "lora", "accepted": share}]}

    def measured(job: Job, may_go_on: object) -> Failure | None:
        write_json(out / "report.json", told)
        return Failure(1, slug, "report: somewhere") if slug else None

    work.append(measured)
    job_id = service.post(f"{API}/eval/report", json={"lora": lora}).json()["job_id"]
    report = ended(service, job_id)["report"]
    assert (out / "report.json").is_file()
    if slug == "usage":
        assert report is None, "what lies there is not of this job"
        return
    assert report["report_path"] == str(out / f"report-{job_id}.html")
    assert report["json_path"] == str(out / f"report-{job_id}.json")
    assert (report["status"], report["passed"]) == (told["status"], slug is None)
    for copy in out.glob(f"report-{job_id}.*"):
        copy.unlink()
    earlier = service.get(f"{API}/jobs/{job_id}").json()["report"]
    assert earlier["json_path"] == str(out / "report.json"), "jobs of earlier versions kept no copy"
    if slug == "not-measurable":
        assert (report["why"], report["consistency"]) == ("5 references", None)
    else:
        assert (report["consistency"], report["low"], report["pictures"]) == (0.9, 0.85, 160)


def test_a_job_tells_its_own_numbers_after_another_of_equal_settings(
    work: list[Work], service: TestClient, warehouse: Warehouse, lora: str
) -> None:
    out = warehouse.outputs / "eval" / lora
    told = []
    for estimate, failed in ((0.95, False), (0.1, True)):
        share = {"estimate": estimate, "low": estimate, "high": 1.0, "pictures": 160}
        found = {"status": "measured", "arms": [{"name": "lora", "accepted": share}]}

        def measured(job: Job, may: object, found: Any = found, failed: bool = failed) -> Failure | None:
            write_json(out / "report.json", found)
            (out / "report.html").write_text(str(found), encoding="utf-8")
            return Failure(1, "failed", "below the bar") if failed else None

        work.append(measured)
        job_id = service.post(f"{API}/eval/report", json={"lora": lora}).json()["job_id"]
        told.append(ended(service, job_id))
    assert [one["report"]["consistency"] for one in told] == [0.95, 0.1]
    first = ended(service, told[0]["job_id"])["report"]
    assert first == told[0]["report"], "the LoRA was trained anew, and measured in the same folder"
    assert "0.95" in Path(first["report_path"]).read_text(encoding="utf-8")
    assert "0.95" in Path(first["json_path"]).read_text(encoding="utf-8")
    assert Path(first["json_path"]).parent == out, "beside the pictures that it names"
    assert ended(service, told[1]["job_id"])["report"]["passed"] is False


def ended(client: TestClient, job_id: str) -> dict[str, Any]:
    for _ in range(400):
        answer: dict[str, Any] = client.get(f"{API}/jobs/{job_id}").json()
        if answer["state"] in ("completed", "failed", "completed_with_errors"):
            return answer
        time.sleep(0.02)
    raise AssertionError(answer)


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_prompts", 1), ("bar", 0), ("bar", 1), ("fresh_prompts", "x.json"), ("impostors", "/etc")],
)
def test_what_the_verb_would_refuse_is_refused_at_once(
    service: TestClient, lora: str, field: str, value: object
) -> None:
    answer = service.post(f"{API}/eval/report", json={"lora": lora, field: value})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
