"""What a job is: the immutable part, written once when it is submitted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from charaforge.requests.generation import GenerationRequest

FORMAT = 1
Queue = Literal["interactive", "batch"]
State = Literal["queued", "running", "paused", "completed", "completed_with_errors", "cancelled", "failed"]
TERMINAL: tuple[State, ...] = ("completed", "completed_with_errors", "cancelled", "failed")


@dataclass(frozen=True)
class JobSpec:
    """What is to be done.

    Attributes:
        job_id: name of the job and of its folder.
        kind: "picture" (what a route renders), "batch", "verify", or the verb that a command job runs:
            "train", "curate", "eval" …
        queue: "interactive" or "batch".
        created: ISO 8601, UTC.
        total: number of items, 1 or more; they are numbered from 1 in the order they were given in.
        shards: number of shards; they are numbered from 0.
        out: folder of the pictures, relative to the warehouse's outputs: `<UTC date>/<job_id>`.
        shared: a whole request as JSON values; each item's line holds only what differs from it.
        items_sha256: of `items.jsonl`.
        fingerprint: what the sender says tells equal submissions from others; "" = nothing.
        options: what else was asked for, by whoever submitted.
        command: arguments of `charaforge`, for jobs that run a verb; empty for pictures.
        format: of the files.
    """

    job_id: str
    kind: str
    queue: Queue
    created: str
    total: int
    shards: int
    out: str
    shared: Mapping[str, Any] = field(default_factory=dict)
    items_sha256: str = ""
    fingerprint: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    format: int = FORMAT

    def data(self) -> bytes:
        """Return the file's content: canonical JSON."""
        return canonical(asdict(self)) + b"\n"

    @property
    def digest(self) -> str:
        """What identifies the work: a sha256 over all but the job's name and time."""
        same = replace(self, job_id="", created="", out="", fingerprint="")
        return hashlib.sha256(same.data()).hexdigest()

    @staticmethod
    def read(data: bytes) -> JobSpec:
        """Return the spec that a file holds.

        Raises:
            ValueError: it holds none that this version understands.
        """
        try:
            told = json.loads(data)
            return JobSpec(**{**told, "command": tuple(told["command"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a job's spec: {error}") from None


@dataclass(frozen=True)
class Wish:
    """One item that is to be submitted.

    Attributes:
        request: for one picture or several (`count`); a random seed is drawn when it is submitted.
        note: what the sidecar shall say beside, as JSON values, e.g. the row of a CSV.
        expect: sha256 that the PNG must have, for jobs that verify; "" = any.
        size: of its micro-batch, to render it as it was before; 0 = as it pays.
    """

    request: GenerationRequest
    note: Mapping[str, Any] = field(default_factory=dict)
    expect: str = ""
    size: int = 0


@dataclass(frozen=True)
class Item:
    """One picture of a job, as it was fixed when the job was submitted.

    Attributes:
        number: 1 … total.
        shard: 0 … shards - 1.
        micro_batch: which one of its shard, from 0.
        size: pictures that the micro-batch renders, 1 or 8; it decides the last bits of the pixels.
        request: a `GenerationRequest` for one picture, as JSON values.
        note: see `Wish`.
        expect: see `Wish`.
    """

    number: int
    shard: int
    micro_batch: int
    size: int
    request: Mapping[str, Any]
    note: Mapping[str, Any] = field(default_factory=dict)
    expect: str = ""


def canonical(value: Any) -> bytes:
    """Return a value as JSON that is the same for equal values."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()
