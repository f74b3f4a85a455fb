"""Batches as the service tells them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backend.core.problems import ProblemError, plain_problem
from backend.jobs.queue import JobQueue
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import Failure
from charaforge.jobstore.status import ItemView
from charaforge.requests.batch_answers import ENDED, BatchItem, BatchStatus, ItemFailure

KINDS = ("batch", "verify")


def batch_of(queue: JobQueue, job_id: str) -> Job:
    """Return a batch.

    Raises:
        ProblemError: 404, there is no such job, or it is no batch.
    """
    job = queue.get(job_id)
    if job.spec.kind not in KINDS:
        told = f"the job {job_id} is no batch but of the kind {job.spec.kind!r}; see /api/v1/jobs/{job_id}"
        raise ProblemError(plain_problem(404, told, "no-batch"))
    return job


def status_of(queue: JobQueue, job: Job, fresh: bool = False) -> BatchStatus:
    """Return how far a batch is; `fresh` after something was done to it."""
    told = queue.store.status(job, fresh)
    names = set(BatchStatus.model_fields) - {"failures", "folder", "options", "scores"}
    scores = scores_of(job) if told.state in ENDED else None
    return BatchStatus(
        **{name: getattr(told, name) for name in names},
        failures=[failure_of(job, failure) for failure in told.failures],
        folder=job.spec.out,
        options=dict(job.spec.options),
        scores=scores["characters"] if scores else None,
    )


def scores_of(job: Job) -> dict[str, Any] | None:
    """Return what `charaforge score` wrote about a batch, where it did."""
    data = job.files.read(job.folder.scores)
    try:
        told = json.loads(data) if data else None
        return {"characters": dict(told["characters"]), "items": dict(told["items"])} if told else None
    except (ValueError, KeyError, TypeError):
        return None


def item_of(job: Job, view: ItemView, scores: Mapping[str, Any] | None = None) -> BatchItem:
    """Return one item, with its likeness where `scores` has it."""
    url = ""
    if view.image_path is not None:
        relative = view.image_path.relative_to(job.pictures.out).as_posix()
        url = f"/api/v1/images/{job.spec.out}/{relative}"
    return BatchItem(
        item=view.number,
        state=view.state,
        request=view.request,
        note=view.note,
        image_path=str(view.image_path or ""),
        url=url,
        likeness=((scores or {}).get("items") or {}).get(str(view.number)),
        failure=None if view.failure is None else failure_of(job, view.failure, view.note),
    )


def failure_of(job: Job, failure: Failure, note: dict[str, Any] | None = None) -> ItemFailure:
    """Return why an item failed, with the row that it came from."""
    known = note if note is not None else dict(job.items.item(failure.item).note)
    row = known.get("row")
    return ItemFailure(
        item=failure.item,
        row=row if isinstance(row, int) else None,
        kind=failure.slug,
        message=failure.message,
        hint=failure.hint,
        attempts=failure.attempts,
    )
