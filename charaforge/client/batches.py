"""`Batches`: the routes about batches and workers, as methods; `Service().batches` is one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

from charaforge.errors import ServiceError
from charaforge.requests.batch_answers import (
    ENDED,
    BatchItem,
    BatchItems,
    BatchList,
    BatchReply,
    BatchStatus,
    GcReply,
    State,
    WorkerList,
)

Act = Literal["pause", "resume", "retry-failed"]
PAGE = 500
PATIENCE_S = 120.0
RETRY_S = 1.0


class Transport(Protocol):
    """What `Service` offers to the groups of its methods."""

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask a route; raise ServiceError where it refuses or cannot be reached."""

    def read(self, kind: type[Any], answer: httpx.Response) -> Any:
        """Return the answer as a model; raise ServiceError where it is none."""

    def stream(self, path: str, headers: dict[str, str]) -> Any:
        """Return a context manager around an answer that is read piece by piece."""


@dataclass(frozen=True)
class BatchEvent:
    """One thing that happened.

    Attributes:
        id: what `events` goes on from; "" for a status.
        name: "submitted", "shard-done", "item-failed", "paused", "finished", …; or "status".
        data: what else is said.
    """

    id: str
    name: str
    data: dict[str, Any]


class Batches:
    """Batches of pictures.

    Every method raises ServiceError where the service refuses or cannot be reached.

    Args:
        service: how routes are asked.
    """

    def __init__(self, service: Transport) -> None:
        self._service = service

    def submit(
        self, file: Path, name: str = "", partial: bool = False, score: bool = False, key: str = ""
    ) -> BatchReply:
        """Queue a CSV or JSON file.

        Args:
            file: the file.
            name: name of the job; by default a new one. Submitting again under a name queues nothing more.
            partial: queue the sound rows and give the others back; by default any fault refuses the file.
            score: measure the likeness of each picture.
            key: an Idempotency-Key.
        """
        params = {"partial": partial, "score": score}
        method, path = ("PUT", f"/batch/{name}") if name else ("POST", "/batch/submit")
        headers = {"Idempotency-Key": key} if key else None
        with file.open("rb") as stream:
            sent = {"file": (file.name, stream)}
            answer = self._service.call(method, path, files=sent, params=params, headers=headers)
        reply: BatchReply = self._service.read(BatchReply, answer)
        return reply

    def status(self, job_id: str) -> BatchStatus:
        """Ask how far a batch is."""
        return self._status("GET", f"/batch/status/{job_id}")

    def list(self, limit: int = 50, state: State | None = None) -> list[BatchStatus]:
        """List the newest batches."""
        params = {"limit": limit, **({"state": state} if state else {})}
        found: BatchList = self._service.read(BatchList, self._service.call("GET", "/batch", params=params))
        return found.batches

    def items(self, job_id: str, failed: bool = False) -> Iterator[BatchItem]:
        """Yield all items of a batch, or those that failed."""
        first: int | None = 1
        while first is not None:
            params = {"first": first, "count": PAGE, "failed": failed}
            answer = self._service.call("GET", f"/batch/{job_id}/items", params=params)
            page: BatchItems = self._service.read(BatchItems, answer)
            yield from page.items
            first = page.next

    def cancel(self, job_id: str) -> BatchStatus:
        """Stop a batch for good."""
        return self._status("POST", f"/batch/cancel/{job_id}")

    def act(self, job_id: str, what: Act) -> BatchStatus:
        """Pause or resume a batch, or try again what failed."""
        return self._status("POST", f"/batch/{job_id}/{what}")

    def verify(self, job_id: str, count: int = 8) -> BatchReply:
        """Let some pictures be rendered again and compared; the answer names the job that does it."""
        answer = self._service.call("POST", f"/batch/{job_id}/verify", json={"count": count})
        reply: BatchReply = self._service.read(BatchReply, answer)
        return reply

    def events(self, job_id: str, after: str = "") -> Iterator[BatchEvent]:
        """Yield what happens in a batch until it has ended, or the connection breaks.

        Args:
            job_id: the batch.
            after: id of the last event that is known already.
        """
        headers = {"Last-Event-ID": after} if after else {}
        with self._service.stream(f"/batch/{job_id}/events", headers) as answer:
            yield from _events(answer.iter_lines())

    def watch(self, job_id: str, told: Callable[[BatchStatus], None]) -> BatchStatus:
        """Follow a batch to its end; call `told` whenever it has got on.

        A connection that breaks, or a service that is started anew, is borne for PATIENCE_S.
        """
        after, heard_s = "", time.monotonic()
        while True:
            try:
                for event in self.events(job_id, after):
                    after, heard_s = event.id or after, time.monotonic()
                    if event.name == "status":
                        told(BatchStatus.model_validate(event.data))
                status = self.status(job_id)
            except ServiceError as error:
                if error.status or time.monotonic() - heard_s > PATIENCE_S:
                    raise
                time.sleep(RETRY_S)
                continue
            told(status)
            if status.state in ENDED:
                return status

    def archive(self, job_id: str, file: Path, sidecars: bool = True) -> int:
        """Write the pictures that are done as a zip; return its size in bytes."""
        path = f"/batch/{job_id}/archive?sidecars={str(sidecars).lower()}"
        part = file.with_name(f".{file.name}.part")
        with self._service.stream(path, {}) as answer, part.open("wb") as out:
            for chunk in answer.iter_bytes():
                out.write(chunk)
        part.replace(file)
        return file.stat().st_size

    def workers(self) -> WorkerList:
        """Ask who does the jobs."""
        found: WorkerList = self._service.read(WorkerList, self._service.call("GET", "/workers"))
        return found

    def gc(self, kinds: Sequence[str], older_than_days: float, delete: bool = False) -> GcReply:
        """Ask what of the warehouse can go; delete it only where `delete` says so."""
        body = {"kinds": list(kinds), "older_than_days": older_than_days, "delete": delete}
        found: GcReply = self._service.read(GcReply, self._service.call("POST", "/gc", json=body))
        return found

    def _status(self, method: str, path: str) -> BatchStatus:
        told: BatchStatus = self._service.read(BatchStatus, self._service.call(method, path))
        return told


def _events(lines: Iterator[str]) -> Iterator[BatchEvent]:
    """Yield server-sent events."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "event" in fields:
            yield BatchEvent(fields.get("id", ""), fields["event"], json.loads(fields.get("data", "{}")))
            fields = {}
        else:
            fields = {}
