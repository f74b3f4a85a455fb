"""`GET /workers`: who does the jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal, cast

from fastapi import APIRouter

from backend.api.jobs import Queue
from backend.core.problems import responses
from charaforge.requests.batch_answers import WorkerInfo, WorkerList

router = APIRouter(tags=["service"])


@router.get("/workers", summary="Who does the jobs", responses=responses(401, 403))
def workers(queue: Queue) -> WorkerList:
    """List the workers of the warehouse by their heartbeat files, those alive first."""
    views = queue.station.workers.list()
    found = [WorkerInfo(**{**asdict(view), "holds": list(view.holds)}) for view in views]
    return WorkerList(workers=found, place=cast(Literal["embedded", "workers"], queue.place))
