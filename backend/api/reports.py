"""What `GET /jobs/{id}` tells of a measurement: where its reports are, and the numbers that matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backend.jobs.reports import NUMBERS, PAGE, REPORTED, kept
from charaforge.jobstore.job import Job
from charaforge.jobstore.status import JobStatus
from charaforge.requests.answers import ReportReply


def report_of(job: Job, told: JobStatus) -> ReportReply | None:
    """Return the reports that a measurement ended with, whoever measures there since; None for other jobs."""
    slugs = [failure.slug for failure in told.failures]
    if told.state != "completed" and not set(slugs) & set(REPORTED):
        return None
    page, numbers = kept(job, PAGE), kept(job, NUMBERS)
    if page and numbers and not numbers.is_file():  # it ended before jobs kept a copy
        page, numbers = page.with_name(PAGE), numbers.with_name(NUMBERS)
    found = numbers and _read(numbers)
    if not found:
        return None
    lora: dict[str, Any] = next((arm for arm in found.get("arms", []) if arm.get("name") == "lora"), {})
    share = lora.get("accepted", {})
    return ReportReply(
        status=found.get("status", ""),
        passed=told.state == "completed",
        report_path=str(page),
        json_path=str(numbers),
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
