"""How far a job is: computed from its files, with what never changes remembered."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from charaforge.jobstore.files import Stat
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import DoneMark, Failure
from charaforge.jobstore.pace import Moment, Pace
from charaforge.jobstore.spec import State

FRESH_S = 0.5
SMALL = 64  # items; a job of no more is counted each time
LOOK_AGAIN_S = 5.0  # until then a done mark is taken to be as it was
FIRST_FAILURES = 10


@dataclass(frozen=True)
class JobStatus:
    """How far a job is.

    Attributes:
        job_id: its name.
        kind: see `JobSpec`.
        state: queued, running, paused, completed, completed_with_errors, cancelled or failed.
        total: number of items; done + failed + pending.
        done: items whose picture is saved.
        failed: items that could not be rendered.
        pending: items to come; of a cancelled job, those that never will.
        created: ISO 8601, UTC.
        ended: the same; "" while it has not.
        rate: items per second, as this process saw it, or as ended shards tell; 0 = not known, or it stands
            still.
        eta_s: seconds left at that rate; None = not known.
        paused_by: "request", "disk" or "fault"; "" where it is not paused.
        step: steps done of the micro-batch at work, where there is one worker.
        steps: its steps in all; 0 = not known.
        note: what the command at work says, or the fault for which the job is paused.
        failures: the first ones.
    """

    job_id: str
    kind: str
    state: State
    total: int
    done: int
    failed: int
    pending: int
    created: str
    ended: str = ""
    rate: float = 0.0
    eta_s: float | None = None
    paused_by: str = ""
    step: int = 0
    steps: int = 0
    note: str = ""
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class ItemView:
    """One item, as far as it is.

    Attributes:
        number: from 1.
        state: "done" and "failed" are for good; "pending" also stands for what is at work.
        request: what is asked for, as JSON values.
        note: see `Wish`.
        image_path: the PNG, where it is done.
        failure: why it failed, where it did.
    """

    number: int
    state: Literal["done", "failed", "pending"]
    request: dict[str, Any]
    note: dict[str, Any]
    image_path: Path | None = None
    failure: Failure | None = None

    @staticmethod
    def of(job: Job, number: int) -> ItemView:
        """Return one item of a job of pictures."""
        item = job.items.item(number)
        request, note = dict(item.request), dict(item.note)
        if job.pictures.begun(number):
            return ItemView(number, "done", request, note, job.pictures.png(number))
        failure = job.failures.read(number)
        return ItemView(number, "failed" if failure else "pending", request, note, failure=failure)


@dataclass
class _Counted:
    """What a done mark says, remembered: when it was written, items done and failed, when it ended."""

    stat: Stat
    done: int
    failed: int
    ended_s: float


@dataclass
class Tally:
    """Counts one job, for one process.

    Args:
        job: the job.
    """

    job: Job
    _marks: dict[str, _Counted] = field(default_factory=dict)
    _last: tuple[float, JobStatus] | None = None
    _looked_s: float = -LOOK_AGAIN_S
    _pace: Pace = field(default_factory=Pace)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def status(self, fresh: bool = False) -> JobStatus:
        """Return how far it is, at most FRESH_S old, or as it is now."""
        with self._lock:
            now = time.monotonic()
            small = self.job.spec.total <= SMALL
            if self._last is None or small or fresh or now - self._last[0] >= FRESH_S:
                again = small or fresh or now - self._looked_s >= LOOK_AGAIN_S
                self._last = now, self._count(again)
                self._looked_s = now if again else self._looked_s
            return self._last[1]

    def _count(self, again: bool) -> JobStatus:
        job, spec = self.job, self.job.spec
        outcome = job.outcome()
        if outcome is not None:
            done, failed = int(outcome["done"]), int(outcome["failed"])
        else:
            done, failed = self._counts(again)
        pending = spec.total - done - failed
        state, paused_by = self._state(outcome, done + failed)
        live = state == "running"
        rate = self._rate(done + failed, live)
        step, steps, note = job.progress() if live else (0, 0, job.fault() if paused_by == "fault" else "")
        return JobStatus(
            *(spec.job_id, spec.kind, state, spec.total, done, failed, pending, spec.created),
            ended=str(outcome["ended"]) if outcome else "",
            rate=rate,
            eta_s=pending / rate if rate > 0.0 else None,
            paused_by=paused_by,
            step=step,
            steps=steps,
            note=note,
            failures=self._failures() if failed else (),
        )

    def _state(self, outcome: dict[str, Any] | None, settled: int) -> tuple[State, str]:
        job = self.job
        if outcome is not None:
            state: State = outcome["state"]
            return state, ""
        if job.cancelled():
            return "cancelled", ""
        if job.files.exists(job.folder.pause):
            return "paused", "request"
        if job.files.exists(job.folder.disk_pause):
            return "paused", "disk"
        if job.files.exists(job.folder.fault_pause):
            return "paused", "fault"
        if settled:
            return "running", ""
        held = (job.claims.highest(s, g) for s, g in job.claims.generations().items())
        return ("running" if any(c is not None and c.state == "held" for c in held) else "queued"), ""

    def _counts(self, again: bool) -> tuple[int, int]:
        """Return items done and failed: of done shards by their marks, of others by looking."""
        job = self.job
        claimed = job.claims.generations()  # before the marks, so that none is missed
        self._read_marks(again)
        done = sum(mark.done for mark in self._marks.values())
        failed = sum(mark.failed for mark in self._marks.values())
        for shard, generation in claimed.items():
            if shard < job.spec.shards and f"{shard:05}.json" not in self._marks:
                more, bad = (0, 0) if job.claims.untouched(shard, generation) else job.looked_at(shard)
                done, failed = done + more, failed + bad
        return done, failed

    def _read_marks(self, again: bool) -> None:
        """Read the marks that are new; those that are known only where they changed, and only if `again`."""
        files, folder = self.job.files, self.job.folder.done
        listed: dict[str, Stat | None] = (
            {**files.listing(folder)} if again else dict.fromkeys(files.names(folder))
        )
        for name in self._marks.keys() - listed.keys():
            del self._marks[name]
        for name, stat in listed.items():
            known = self._marks.get(name)
            if known is not None and stat in (None, known.stat):
                continue
            stat = stat or files.stat(folder / name)
            if stat is not None:
                mark = DoneMark.read(files.read(folder / name) or b"")
                if mark is not None:
                    counted = _Counted(stat, len(mark.stamps), len(mark.failed), mark.ended_s)
                    self._marks[name] = counted

    def _rate(self, settled: int, live: bool) -> float:
        """Return items per second; what was seen while it did not run does not count."""
        if not live:
            self._pace.forget()
            return 0.0
        now = time.monotonic()
        self._pace.see(now, settled)
        return self._pace.rate(now, () if self._pace.known else self._ends())

    def _ends(self) -> list[Moment]:
        """Return when shards ended, by the clocks of their workers, and the items until then."""
        marks = sorted(self._marks.values(), key=lambda mark: mark.ended_s)
        settled = accumulate(mark.done + mark.failed for mark in marks)
        return [(mark.ended_s, items) for mark, items in zip(marks, settled, strict=True)]

    def _failures(self) -> tuple[Failure, ...]:
        items = self.job.failures.items()[:FIRST_FAILURES]
        read = (self.job.failures.read(item) for item in items)
        return tuple(failure for failure in read if failure is not None)
