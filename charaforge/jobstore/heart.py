"""The heartbeat of the claims that a process holds, and of the process itself."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.jobstore.claims import STALE_S, Claim
from charaforge.jobstore.files import Files
from charaforge.jobstore.job import Job
from charaforge.jobstore.owners import Owner
from charaforge.jobstore.spec import canonical
from charaforge.logs import get_logger

logger = get_logger(__name__)


class Heart:
    """Keeps claims alive; somebody has to call `beat` every HEARTBEAT_S."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Job, Claim]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, job: Job, claim: Claim) -> Iterator[None]:
        """Keep a claim alive within the block."""
        with self._lock:
            self._held[claim.token] = job, claim
        try:
            yield
        finally:
            with self._lock:
                del self._held[claim.token]

    def beat(self) -> None:
        """Touch the files of all claims that are held."""
        with self._lock:
            held = list(self._held.values())
        for job, claim in held:
            with contextlib.suppress(OSError):
                if not job.claims.beat(claim):
                    logger.warning("job %s: shard %d was taken over", job.id, claim.shard)

    @property
    def holds(self) -> list[str]:
        """Jobs and shards that are held, as `job/shard`."""
        with self._lock:
            return [f"{job.id}/{claim.shard}" for job, claim in self._held.values()]


@dataclass(frozen=True)
class WorkerView:
    """A worker, as others see it.

    Attributes:
        name: its own.
        host: its machine.
        pid: of its process.
        alive: whether its heartbeat is younger than STALE_S and its process not known to be gone.
        age_s: of the last heartbeat.
        holds: jobs and shards at work, as `job/shard`.
        facts: what else it says, e.g. its device.
    """

    name: str
    host: str
    pid: int
    alive: bool
    age_s: float
    holds: tuple[str, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Workers:
    """The heartbeat files of workers.

    Args:
        files: the disk.
        folder: `…/batches/.workers`.
    """

    files: Files
    folder: Path

    def tell(self, owner: Owner, holds: list[str], **facts: Any) -> None:
        """Say that a worker lives, and what it does."""
        told = {"owner": owner.plain(), "holds": holds, "facts": facts}
        self.files.write(self._file(owner.name), canonical(told))

    def leave(self, owner: Owner) -> None:
        """Say that a worker ended."""
        self.files.remove(self._file(owner.name))

    def list(self) -> list[WorkerView]:
        """Return all workers, those that live first.

        Ages are told by the file system's own clock, which may be another machine's.
        """
        if not self.files.exists(self.folder):
            return []
        probe = self.folder / ".now"
        self.files.write(probe, b"")
        now = self.files.fresh_stat(probe)
        found = [self._view(name, now.mtime_ns if now else 0) for name in self.files.names(self.folder)]
        return sorted((view for view in found if view), key=lambda view: (not view.alive, view.name))

    def _view(self, name: str, now_ns: int) -> WorkerView | None:
        path = self.folder / name
        stat, data = self.files.fresh_stat(path), self.files.read(path)
        try:
            told: dict[str, Any] = json.loads(data or b"")
            owner = Owner.read(told["owner"])
            holds, facts = tuple(map(str, told["holds"])), dict(told["facts"])
        except (ValueError, KeyError, TypeError):
            return None
        if owner is None or stat is None:
            return None
        age_s = max(0.0, (now_ns - stat.mtime_ns) / 1e9)
        alive = age_s < STALE_S and not owner.dead()
        return WorkerView(owner.name, owner.host, owner.pid, alive, age_s, holds, facts)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"
