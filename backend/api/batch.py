"""`POST /batch/submit`, `PUT /batch/{client_id}`: batches of pictures, as a CSV or JSON file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from backend.api.batch_files import BODY, BatchFile, Sent
from backend.api.batch_names import WarehouseNames
from backend.api.jobs import Queue
from backend.api.models import Models
from backend.core.in_flight import InFlight
from backend.core.inputs import InputFiles
from backend.core.problems import ProblemError, invalid, responses
from backend.jobs.queue import JobQueue, job_id_of, taken
from charaforge.config.settings import batch_max_items
from charaforge.jobstore.job import Job
from charaforge.jobstore.spec import Wish
from charaforge.requests.answers import Problem
from charaforge.requests.batch import Batch, read_batch
from charaforge.requests.batch_answers import BatchReply, RefusedRows

router = APIRouter(prefix="/batch", tags=["batch"])
MAX_TOLD = 1000  # faults that the words of a problem name; `errors` holds more
_TAKEN = ("cancel", "status", "submit")  # `/batch/status/…` would not be the batch's own
_SUBMIT: dict[int | str, dict[str, Any]] = {
    202: {"model": BatchReply, "description": "queued; see Location"},
    200: {"model": BatchReply, "description": "the same was submitted before; see Location"},
    **responses(400, 401, 403, 409, 413, 415, 422, 503),
}


@dataclass(frozen=True)
class Wanted:
    """How a batch shall be taken in.

    Attributes:
        partial: queue the sound rows.
        score: measure the pictures' likeness.
    """

    partial: Annotated[
        bool, Query(description="queue the sound rows, give the others back with their reasons")
    ] = False
    score: Annotated[
        bool, Query(description="measure how much each picture looks like its LoRA's character")
    ] = False


class Submitter:
    """Takes in the batch file of one HTTP request.

    Args:
        request: the HTTP request.
        file: its batch file.
        wanted: its query.
        queue: the jobs.
        registered: the models.
    """

    def __init__(
        self,
        request: Request,
        file: Sent,
        wanted: Annotated[Wanted, Depends()],
        queue: Queue,
        registered: Models,
    ) -> None:
        self._file: BatchFile = file
        self._queue: JobQueue = queue
        self._partial = wanted.partial or file.partial
        self._score = wanted.score or file.score
        inputs: InputFiles = request.app.state.inputs
        self._names = WarehouseNames(registered, inputs)
        self._in_flight: InFlight = request.app.state.in_flight

    def __call__(self, job_id: str) -> Response:
        """Queue the batch, once for each name.

        Args:
            job_id: the name; "" = a new one.
        """
        with self._in_flight.holding(job_id):
            fingerprint = self._file.fingerprint(self._partial, self._score)
            known = self._queue.store.find(job_id) if job_id else None
            if known is not None:
                return self._known(known, fingerprint)
            self._queue.need_worker()
            batch = read_batch(self._file.stream, self._file.name, self._names, batch_max_items())
            self._check(batch)
            options = {"file": self._file.name, "score": self._score or batch.score}
            job = self._queue.submit_pictures(
                (Wish(item.request, item.note) for item in batch.items),
                job_id=job_id,
                fingerprint=fingerprint,
                options=options,
            )
        return _reply(job, 202, read_as=batch.read_as, refused=_refused(batch))

    def _known(self, job: Job, fingerprint: str) -> Response:
        """Answer what was answered before; the refused rows are found again, by reading the same file."""
        if job.spec.fingerprint != fingerprint:
            raise taken(job.id)
        batch = read_batch(self._file.stream, self._file.name, self._names, batch_max_items())
        return _reply(job, 200, known=True, read_as=batch.read_as, refused=_refused(batch))

    def _check(self, batch: Batch) -> None:
        """Raise 422 where a fault keeps the batch from being queued."""
        partial = self._partial or batch.partial
        if not batch.faults.count or (partial and batch.items and not batch.faults.of_the_file):
            return
        raise ProblemError(_faulty(batch))


@router.post(
    "/submit", status_code=202, summary="Queue a batch of pictures", responses=_SUBMIT, openapi_extra=BODY
)
def submit(
    submitter: Annotated[Submitter, Depends()],
    idempotency_key: Annotated[str, Header(max_length=255, description="the same key queues once")] = "",
) -> Response:
    """Take a CSV or JSON file; every fault of every row is told before anything is queued."""
    return submitter(job_id_of(idempotency_key))


@router.put(
    "/{client_id}",
    status_code=202,
    summary="Queue a batch under a name of yours",
    responses=_SUBMIT,
    openapi_extra=BODY,
)
def put(
    submitter: Annotated[Submitter, Depends()],
    client_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")],
) -> Response:
    """Do as `submit`; sent again it queues nothing more, and with another file it is refused."""
    if client_id in _TAKEN:
        told = {"field": "client_id", "message": f"{client_id!r} is a word of the routes; take another name"}
        raise ProblemError(invalid([told]))
    return submitter(client_id)


def _refused(batch: Batch) -> RefusedRows | None:
    rows = len(batch.faults.refused)
    return RefusedRows(rows=rows, csv=batch.refused()) if rows else None


def _reply(job: Job, status: int, **more: Any) -> Response:
    told = BatchReply(job_id=job.id, total=job.spec.total, **more)
    headers = {"Location": f"/api/v1/batch/status/{job.id}", "Retry-After": "1"}
    return JSONResponse(told.model_dump(mode="json"), status, headers=headers)


def _faulty(batch: Batch) -> Problem:
    """Return the problem that lists all faults of a batch file, each with row and column."""
    listed, count = batch.faults.listed, batch.faults.count
    errors = [
        {
            "field": fault.column or "body",
            "message": fault.message,
            "row": fault.row,
            "column": fault.column,
            **({"value": fault.value} if fault.value else {}),
        }
        for fault in listed
    ]
    lines = "; ".join(str(fault) for fault in listed[:MAX_TOLD])
    rows = len(batch.faults.refused)
    told = f"faults: {count}, rows with faults: {rows}" if rows else "the file cannot be taken"
    hint = "; mend them, or queue the sound rows with ?partial=true" if rows and batch.items else ""
    return invalid(errors).model_copy(update={"detail": f"{told}{hint}: {lines}"})
