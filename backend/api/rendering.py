"""What the routes that render have in common: resolve the files, queue the job, wait or answer 202."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from backend.core.inputs import InputFiles
from backend.core.names import unknown_names
from backend.core.problems import ProblemError, fault_of, invalid, responses
from backend.jobs.commands import last_words
from backend.jobs.queue import JobQueue, picture_of, problem_of_job
from backend.schemas.pictures import ControlBody, PictureBody
from charaforge.errors import UnknownNameError
from charaforge.jobstore.job import Job
from charaforge.jobstore.status import JobStatus
from charaforge.requests.answers import JobReply, PictureReply
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.inputs import Control
from charaforge.warehouse.registry import Registry

Body = TypeVar("Body", bound=PictureBody)
RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"model": JobReply, "description": "queued, as `Prefer: respond-async` asked; see Location"},
    **responses(400, 401, 403, 409, 413, 415, 422, 500, 503, 504),
}


def job_queue(request: Request) -> JobQueue:
    """Return the queue of the app."""
    queue: JobQueue = request.app.state.queue
    return queue


class Renderer:
    """Renders the body of one HTTP request.

    Args:
        request: the HTTP request.
        prefer: `respond-async` = answer 202 at once.
        idempotency_key: the same key and body render once.
    """

    def __init__(
        self,
        request: Request,
        prefer: Annotated[str, Header(description="respond-async: answer 202 at once")] = "",
        idempotency_key: Annotated[
            str, Header(max_length=255, description="the same key and body render once")
        ] = "",
    ) -> None:
        self._queue = job_queue(request)
        self._files: InputFiles = request.app.state.inputs
        self._registry = Registry(request.app.state.warehouse)
        self._later = "respond-async" in prefer
        self._key = idempotency_key

    def __call__(self, body: Body, make: Callable[[Body], GenerationRequest]) -> PictureReply | Response:
        """Render a body, after its files were resolved.

        Raises:
            ProblemError: see `JobQueue`; 422 for files that are not taken, parts that do not fit, and names
                that are not known.
        """
        request = self.resolved(body, make)
        job = self._queue.submit(request, self._key)
        if self._later:
            where = {"Location": f"/api/v1/jobs/{job.id}"}
            return JSONResponse(job_reply(self._queue, job).model_dump(mode="json"), 202, headers=where)
        return self._queue.wait(job)

    def resolved(self, body: Body, make: Callable[[Body], GenerationRequest]) -> GenerationRequest:
        """Return the library's request, every file in it an absolute path that may be read."""
        data, faults = self._files.resolve_all(body.model_dump())
        if faults:
            raise ProblemError(invalid(faults))
        try:
            request = _with_keypoints(make(type(body).model_validate(data)))
        except ValidationError as error:
            raise ProblemError(invalid([fault_of(dict(fault)) for fault in error.errors()])) from None
        faults = unknown_names(request, self._registry, isinstance(body, ControlBody))
        if faults:
            raise ProblemError(invalid(faults, UnknownNameError.slug))
        return request


def job_reply(queue: JobQueue, job: Job, told: JobStatus | None = None) -> JobReply:
    """Return what is told about a job; `told` is how far it is, where that is known already."""
    told = told or queue.store.status(job)
    single = told.total == 1 and told.kind == "picture"
    return JobReply(
        job_id=job.id,
        state=told.state,
        total=told.total,
        done=told.done,
        failed=told.failed,
        pending=told.pending,
        step=told.step,
        steps=told.steps,
        note=told.note or (last_words(job) if job.spec.command and told.state == "completed" else ""),
        result=picture_of(job) if single and told.state == "completed" else None,
        problem=problem_of_job(job) if told.total == 1 and told.failed else None,
    )


def _with_keypoints(request: GenerationRequest) -> GenerationRequest:
    """Return the request with JSON files read into `keypoints`."""
    controls = []
    for place, control in enumerate(request.controls):
        if control.image is not None and control.image.lower().endswith(".json"):
            data = control.model_dump() | {"image": None, "keypoints": _read(place, control.image)}
            control = Control.model_validate(data)
        controls.append(control)
    return request.model_copy(update={"controls": tuple(controls)})


def _read(place: int, path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        fault = {"field": f"controls.{place}.image", "message": "the file holds no JSON", "value": path[-80:]}
        raise ProblemError(invalid([fault])) from None


Render = Annotated[Renderer, Depends(Renderer)]
