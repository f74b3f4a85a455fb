"""`POST /txt2img`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from backend.core.problems import MEDIA_TYPE, Problem
from backend.jobs.queue import JobQueue
from backend.jobs.tasks import RENDER
from backend.schemas.txt2img import Txt2ImgBody, Txt2ImgReply

router = APIRouter(tags=["pictures"])
_PROBLEMS = {
    403: "the client is on another machine",
    409: "a model file is broken, or made for another base",
    422: "the body has faults, or names what is not there",
    503: "no worker, or no usable warehouse",
    504: "the job takes too long",
}


def job_queue(request: Request) -> JobQueue:
    """Return the queue of the app."""
    queue: JobQueue = request.app.state.queue
    return queue


@router.post(
    "/txt2img",
    summary="Render one picture from a prompt",
    responses={
        status: {"model": Problem, "description": text, "content": {MEDIA_TYPE: {}}}
        for status, text in _PROBLEMS.items()
    },
)
def txt2img(body: Txt2ImgBody, queue: Annotated[JobQueue, Depends(job_queue)]) -> Txt2ImgReply:
    """Render a picture and answer where it was saved."""
    return Txt2ImgReply.model_validate(queue.run(RENDER, body.request().plain()))
