"""`GET /health`, `GET /ready`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from backend.api.rendering import job_queue
from backend.core.problems import responses
from backend.jobs.queue import JobQueue
from charaforge import __version__
from charaforge.requests.answers import Health, Ready

router = APIRouter(tags=["service"])
Queue = Annotated[JobQueue, Depends(job_queue)]


@router.get("/health", summary="Whether the service answers", responses=responses(403))
def health(queue: Queue) -> Health:
    """Answer `{"ok": true}`, to everybody."""
    return Health(version=__version__, jobs="workers" if queue.place == "workers" else "embedded")


@router.get("/ready", summary="Whether the service takes jobs", responses=responses(401, 403, 503))
def ready(queue: Queue) -> Ready:
    """Answer 200 where the broker answers, a worker is there, and the queue has room."""
    queue.need_broker()
    queue.need_worker()
    queue.need_room()
    return Ready(waiting=queue.waiting())
