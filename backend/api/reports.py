"""What `GET /jobs/{id}` tells of a measurement: where its reports are, and the numbers that matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from charaforge.jobstore.job import Job
from charaforge.jobstore.status import JobStatus
from charaforge.requests.answers import ReportReply

KIND = "eval"
_OUT = "--out="
_REPORTED = ("failed", "not-measurable")
"""Failures of a job that come with reports: measured and not passed, and not measurable."""


def report_of(job: Job, told: JobStatus) -> ReportReply | None:
    """Return the reports of a measurement that has come to an end; None for other jobs."""
    slugs = [failure.slug for failure in told.failures]
    if told.kind != KIND or not (told.state == "completed" or set(slugs) & set(_REPORTED)):
        return None
    out = next((word.removeprefix(_OUT) for word in job.spec.command if word.startswith(_OUT)), "")
    found = _read(Path(out) / "report.json")
    if found is None:
        return None
    lora: dict[str, Any] = next((arm for arm in found.get("arms", []) if arm.get("name") == "lora"), {})
    share = lora.get("accepted", {})
    return ReportReply(
        status=found.get("status", ""),
        passed=told.state == "completed",
        report_path=str(Path(out) / "report.html"),
        json_path=str(Path(out) / "report.json"),
        consistency=share.get("estimate"),
        low=share.get("low"),
        high=share.get("high"),
        pictures=share.get("pictures", 0),
        why=found.get("why", ""),
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
