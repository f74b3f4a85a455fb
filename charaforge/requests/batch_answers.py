"""What the service answers about batches: shapes that it, its client and the user interfaces share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "running", "paused", "completed", "completed_with_errors", "cancelled", "failed"]
ENDED: tuple[State, ...] = ("completed", "completed_with_errors", "cancelled", "failed")


class RefusedRows(BaseModel):
    """The rows that were not queued."""

    rows: int = Field(description="how many")
    csv: str = Field(description="they themselves, with their reasons in the last column, to be mended")


class BatchReply(BaseModel):
    """A batch that was taken in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "01k4",
                    "total": 3,
                    "read_as": "CSV, utf-8, comma",
                    "refused": None,
                    "known": False,
                }
            ]
        }
    )

    job_id: str
    total: int = Field(description="pictures that were queued")
    read_as: str = Field("", description="how the file was read: format, encoding, separator")
    refused: RefusedRows | None = Field(None, description="with partial=true: what was not queued")
    known: bool = Field(
        False, description="whether the same had been submitted before, and nothing was queued"
    )


class ItemFailure(BaseModel):
    """Why an item has no picture."""

    item: int = Field(description="its number, from 1")
    row: int | None = Field(None, description="row of the file it came from")
    kind: str = Field(description="kind of error; `quarantined`: it ended workers")
    message: str
    hint: str = Field("", description="what to do")
    attempts: int = 1


class BatchStatus(BaseModel):
    """How far a batch is."""

    job_id: str
    kind: str = Field("batch", description="batch, or verify: rendered again and compared")
    state: State
    total: int = Field(description="pictures: done + failed + pending")
    done: int
    failed: int
    pending: int
    created: str = Field(description="ISO 8601, UTC")
    ended: str = Field("", description="the same; empty while it has not")
    rate: float = Field(0.0, description="pictures per second, of the last minute; 0 = not known")
    eta_s: float | None = Field(None, description="seconds left at that rate")
    paused_by: str = Field(
        "", description="request; disk: it goes on when there is room; fault: see `note`, mend it and resume"
    )
    note: str = Field("", description="the fault for which it is paused")
    failures: list[ItemFailure] = Field([], description="the first ones")
    folder: str = Field("", description="where its pictures are, behind /images and in the outputs folder")
    options: dict[str, Any] = Field({}, description="what else was asked for")
    scores: dict[str, dict[str, Any]] | None = Field(
        None, description="for each LoRA: likeness and consistency of its pictures; null: not measured"
    )


class BatchList(BaseModel):
    """The newest batches, newest first."""

    batches: list[BatchStatus]


class BatchItem(BaseModel):
    """One item of a batch."""

    item: int = Field(description="its number, from 1")
    state: Literal["done", "failed", "pending"]
    request: dict[str, Any] = Field(description="what is asked for: prompt, seed, …")
    note: dict[str, Any] = Field({}, description="row of the file, and the column `note`")
    image_path: str = Field("", description="absolute path of the PNG")
    url: str = Field("", description="where the service shows it")
    likeness: float | None = Field(
        None, description="median cosine to held-out references of the LoRA's character; null: not measured"
    )
    failure: ItemFailure | None = None


class BatchItems(BaseModel):
    """A page of items."""

    items: list[BatchItem]
    total: int = Field(description="items in all")
    next: int | None = Field(None, description="`first` of the next page; null: there is none")


class WorkerInfo(BaseModel):
    """One worker."""

    name: str
    host: str
    pid: int
    alive: bool = Field(description="whether its heartbeat is young and its process not known to be gone")
    age_s: float = Field(description="seconds since its heartbeat")
    holds: list[str] = Field(description="what it is at, as job/shard")
    facts: dict[str, Any] = Field({}, description="what else it says of itself")


class WorkerList(BaseModel):
    """The workers of the warehouse, those alive first."""

    workers: list[WorkerInfo]
    place: Literal["embedded", "workers"] = Field(description="where jobs are done")


class GcKind(BaseModel):
    """What can go of one kind."""

    kind: str
    things: int
    bytes: int


class GcThing(BaseModel):
    """One thing that can go."""

    path: str
    bytes: int
    age_days: float = Field(description="since its last change")


class GcReply(BaseModel):
    """What of a warehouse can go, or went."""

    deleted: bool
    kinds: list[GcKind]
    largest: list[GcThing]
    free: int = Field(description="bytes that are free on the disk now")
