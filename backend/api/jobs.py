"""`GET /jobs/{id}`, `POST /jobs/{id}/cancel`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from backend.api.rendering import job_queue, job_reply
from backend.api.reports import report_of
from backend.core.problems import responses
from backend.jobs.queue import JobQueue
from charaforge.requests.answers import JobReply

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=responses(401, 403, 404, 413, 415, 422))
Queue = Annotated[JobQueue, Depends(job_queue)]


@router.get("/{job_id}", summary="How far a job is")
def job(job_id: str, queue: Queue) -> JobReply:
    """Answer its state, its steps, and where its picture is, or what a measurement found."""
    known = queue.get(job_id)
    told = queue.store.status(known)
    return job_reply(queue, known, told).model_copy(update={"report": report_of(known, told)})


@router.post("/{job_id}/cancel", summary="Stop a job")
def cancel(job_id: str, queue: Queue) -> JobReply:
    """Ask for it to be stopped: it ends after the step at work; one that is done stays as it is."""
    known = queue.get(job_id)
    queue.cancel(known)
    return job_reply(queue, known)
