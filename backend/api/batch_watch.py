"""`GET /batch…`: how far batches are, their items, their events, their pictures as one archive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from backend.api.batch_archive import archive_of
from backend.api.batch_views import KINDS, batch_of, item_of, scores_of, status_of
from backend.api.jobs import Queue
from backend.core.problems import responses
from backend.core.stopping import Stopping
from backend.jobs.queue import JobQueue
from charaforge.jobstore.job import Job
from charaforge.jobstore.status import ItemView
from charaforge.requests.batch_answers import ENDED, BatchItems, BatchList, BatchStatus, State

router = APIRouter(prefix="/batch", tags=["batch"], responses=responses(401, 403, 404, 422))
POLL_S = 0.5
LONGEST_ID = 18  # digits
QUIET_S = 15.0  # after so long a sign of life is sent, so that nobody on the way closes the connection
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the archive",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("", summary="The newest batches")
def batches(
    queue: Queue, limit: Annotated[int, Query(ge=1, le=500)] = 50, state: State | None = None
) -> BatchList:
    """List batches, newest first."""
    jobs = queue.store.jobs(KINDS, limit=500)
    found: list[BatchStatus] = []
    for job in jobs:
        told = status_of(queue, job)
        if state in (None, told.state):
            found.append(told)
        if len(found) == limit:
            break
    return BatchList(batches=found)


@router.get("/status/{job_id}", summary="How far a batch is")
def status(job_id: str, queue: Queue) -> BatchStatus:
    """Answer state, counts, rate, time left, and the first failures."""
    return status_of(queue, batch_of(queue, job_id))


@router.get("/{job_id}/items", summary="The items of a batch, page by page")
def items(
    job_id: str,
    queue: Queue,
    first: Annotated[int, Query(ge=1, le=10**9, description="number of the first one")] = 1,
    count: Annotated[int, Query(ge=1, le=1000, description="how many at most")] = 100,
    failed: Annotated[bool, Query(description="only those that failed")] = False,
) -> BatchItems:
    """Answer request, state, picture and failure of each."""
    job = batch_of(queue, job_id)
    total = job.spec.total
    if failed:
        numbers = [number for number in job.failures.items() if number >= first]
        views = [ItemView.of(job, number) for number in numbers[:count]]
        following = numbers[count] if len(numbers) > count else None
    else:
        views = queue.store.items(job, first, count)
        following = first + count if first + count <= total else None
    scores = scores_of(job)
    return BatchItems(items=[item_of(job, view, scores) for view in views], total=total, next=following)


@router.get("/{job_id}/events", summary="What happens in a batch", responses=_STREAM)
def events(
    job_id: str,
    request: Request,
    queue: Queue,
    last_event_id: Annotated[str, Header(description="go on behind this event")] = "",
) -> StreamingResponse:
    """Send what happened so far and what happens, as server-sent events, until the batch has ended.

    Beside the events there is `status`, the same as `/batch/status` answers, whenever it has changed.
    """
    job = batch_of(queue, job_id)
    number = last_event_id if last_event_id.isascii() and last_event_id.isdigit() else "0"
    after = int(number) if len(number) < LONGEST_ID else int("9" * LONGEST_ID)
    stream = _stream(job, queue, after, request.app.state.stopping)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@router.get(
    "/{job_id}/archive",
    summary="The pictures of a batch as one zip",
    response_class=StreamingResponse,
    responses=_ZIP,
)
def archive(
    job_id: str, queue: Queue, sidecars: Annotated[bool, Query(description="with their JSON files")] = True
) -> StreamingResponse:
    """Send all pictures that are done, and a table of them; it is made while it is sent."""
    job = batch_of(queue, job_id)
    headers = {"Content-Disposition": f'attachment; filename="{job.id}.zip"'}
    return StreamingResponse(archive_of(job, sidecars), media_type="application/zip", headers=headers)


async def _stream(job: Job, queue: JobQueue, after: int, stopping: Stopping) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    before: BatchStatus | None = None
    quiet_s = 0.0
    while not stopping.is_set():
        told = await run_in_threadpool(status_of, queue, job)
        found = await run_in_threadpool(job.events.since, after)
        for event in found:
            after = event.after
            yield _message(event.name, {"at": event.at, **event.facts}, str(after))
        if told != before:
            before = told
            yield _message("status", told.model_dump(mode="json"))
        if told.state in ENDED and not found:
            return
        if not found:
            await asyncio.sleep(POLL_S)
            quiet_s += POLL_S
            if quiet_s >= QUIET_S:
                quiet_s = 0.0
                yield ": nothing new\n\n"


def _message(name: str, data: dict[str, Any], number: str = "") -> str:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
