"""`POST /batch/…`: cancel, pause, resume, retry what failed, verify what is done."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter

from backend.api.batch_views import batch_of, status_of
from backend.api.jobs import Queue
from backend.api.rendering import job_reply
from backend.core.problems import ProblemError, plain_problem, responses
from backend.schemas.batch import VerifyBody
from charaforge.errors import JobConflictError
from charaforge.jobstore.job import Job
from charaforge.jobstore.pictures import fits
from charaforge.jobstore.spec import Wish
from charaforge.requests.answers import JobReply
from charaforge.requests.batch_answers import BatchReply, BatchStatus
from charaforge.requests.generation import GenerationRequest

router = APIRouter(
    prefix="/batch", tags=["batch"], responses=responses(400, 401, 403, 404, 409, 413, 415, 422)
)


@router.post("/cancel/{job_id}", summary="Stop a batch for good")
def cancel(job_id: str, queue: Queue) -> BatchStatus:
    """Stop within two seconds; what is done stays, a batch that has ended stays as it is."""
    job = batch_of(queue, job_id)
    queue.cancel(job)
    return status_of(queue, job, fresh=True)


@router.post("/{job_id}/pause", summary="Halt a batch")
def pause(job_id: str, queue: Queue) -> BatchStatus:
    """Halt; the micro-batch at work is finished."""
    job = batch_of(queue, job_id)
    with _conflicts_told():
        job.pause()
    return status_of(queue, job, fresh=True)


@router.post("/{job_id}/resume", summary="Let a batch go on")
def resume(job_id: str, queue: Queue) -> BatchStatus:
    """Go on where it was halted, by somebody or for want of room on the disk."""
    job = batch_of(queue, job_id)
    with _conflicts_told():
        job.resume()
    queue.wake(job)
    return status_of(queue, job, fresh=True)


@router.post("/{job_id}/retry-failed", summary="Try again what failed")
def retry_failed(job_id: str, queue: Queue) -> BatchStatus:
    """Try the failed items again, and those whose pictures are gone."""
    job = batch_of(queue, job_id)
    with _conflicts_told():
        job.retry_failed()
    queue.wake(job)
    return status_of(queue, job, fresh=True)


@router.post(
    "/{job_id}/verify",
    status_code=202,
    summary="Render some pictures again and compare",
    responses=responses(503),
)
def verify(job_id: str, queue: Queue, body: VerifyBody | None = None) -> BatchReply:
    """Queue a job that renders random pictures again; those whose bytes differ are its failures."""
    job = batch_of(queue, job_id)
    wishes = list(_again(job, (body or VerifyBody()).count))
    if not wishes:
        raise ProblemError(plain_problem(409, f"the batch {job_id} has no picture yet", "nothing-done"))
    made = queue.submit_pictures(wishes, kind="verify", options={"verifies": job.id})
    return BatchReply(job_id=made.id, total=made.spec.total)


@router.post(
    "/{job_id}/score",
    status_code=202,
    summary="Measure how much the pictures look like their characters",
    responses=responses(503),
)
def score(job_id: str, queue: Queue) -> JobReply:
    """Queue a job that measures the likeness of all pictures that are done; `scores` then tells of it."""
    job = batch_of(queue, job_id)
    queue.need_worker()
    return job_reply(queue, queue.station.score(job))


DAMAGED = "damaged or gone"  # in the place of a sha256, which no picture has


def _again(job: Job, count: int) -> Iterator[Wish]:
    """Yield random pictures that are done, to be rendered as they were."""
    for number in random.sample(range(1, job.spec.total + 1), job.spec.total):
        told = job.pictures.told(number)
        if told is None:
            continue
        png = job.files.read(job.pictures.png(number))
        whole = png is not None and fits(png, told)
        item = job.items.item(number)
        request = GenerationRequest.model_validate(item.request)
        note = {**item.note, "verifies": job.id, "item": number}
        yield Wish(request, note, expect=told["sha256"] if whole else DAMAGED, size=item.size)
        count -= 1
        if not count:
            return


@contextmanager
def _conflicts_told() -> Iterator[None]:
    """Let what a job's state does not allow leave as 409."""
    try:
        yield
    except JobConflictError as error:
        raise ProblemError(plain_problem(409, error.sentence, error.slug)) from None
