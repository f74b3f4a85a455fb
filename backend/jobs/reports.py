"""The reports of a measurement, kept for its job.

Jobs of equal settings share a folder, so that pictures are used again, and each writes its reports there. So
every job keeps a copy of those that it ended with, beside them, where what they say about pictures holds.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import Failure
from charaforge.jobstore.work import RunCommand
from charaforge.warehouse.atomic import replacing

KIND = "eval"
REPORTED = ("failed", "not-measurable")
"""Failures of a job that come with reports: measured and not passed, and not measurable."""

PAGE, NUMBERS = "report.html", "report.json"
_OUT = "--out="


def kept(job: Job, report: str) -> Path | None:
    """Return where a job's own copy of a report is; None for jobs that make none.

    Args:
        job: the job.
        report: PAGE or NUMBERS.
    """
    folder = _folder(job)
    return folder and (folder / report).with_stem(f"{Path(report).stem}-{job.id}")


def keeping_reports(run: RunCommand) -> RunCommand:
    """Return what runs a job's command and, before the job ends, copies the reports that it made."""

    def run_and_keep(job: Job, may_go_on: Callable[[], None]) -> Failure | None:
        failure = run(job, may_go_on)
        if failure is None or failure.slug in REPORTED:
            for report in (PAGE, NUMBERS):
                _keep(job, report)
        return failure

    return run_and_keep


def _keep(job: Job, report: str) -> None:
    folder, target = _folder(job), kept(job, report)
    if folder is None or target is None or not (folder / report).is_file():
        return
    with replacing(target) as temporary:
        shutil.copyfile(folder / report, temporary)


def _folder(job: Job) -> Path | None:
    """Return the folder that a measurement reports into."""
    if job.spec.kind != KIND:
        return None
    told = (word.removeprefix(_OUT) for word in job.spec.command if word.startswith(_OUT))
    return next(map(Path, told), None)
