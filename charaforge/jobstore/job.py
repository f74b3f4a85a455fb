"""One job: its files, and what people do with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from charaforge.errors import JobConflictError, WarehouseError
from charaforge.jobstore.claims import Claims, Watch
from charaforge.jobstore.events import Events
from charaforge.jobstore.files import Files
from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.item_file import ItemFile
from charaforge.jobstore.marks import DoneMark, Failures, Tries
from charaforge.jobstore.opens import Opens
from charaforge.jobstore.owners import Owner
from charaforge.jobstore.pictures import Pictures
from charaforge.jobstore.spec import JobSpec, canonical
from charaforge.jobstore.weights import Weights

REMEMBERED = 256  # shards


class Job:
    """One job.

    Args:
        files: the disk.
        folder: of the job.
        spec: what it is.
        outputs: the warehouse's folder of outputs.
        watch: of this process.
        owner: this process.
        opens: the index of unfinished jobs.
    """

    def __init__(
        self,
        files: Files,
        folder: JobFolder,
        spec: JobSpec,
        outputs: Path,
        watch: Watch,
        owner: Owner,
        opens: Opens,
    ) -> None:
        self.files, self.folder, self.spec, self.owner = files, folder, spec, owner
        self.items = ItemFile(files, folder, spec)
        self.pictures = Pictures(files, outputs / spec.out, spec.total)
        self.claims = Claims(files, folder, watch)
        self.tries, self.failures = Tries(files, folder), Failures(files, folder)
        self.weights, self.events = Weights(files, folder), Events(files, folder)
        self._opens = opens
        self._members: dict[int, tuple[int, ...]] = {}

    @property
    def id(self) -> str:
        """The job's name."""
        return self.spec.job_id

    def members(self, shard: int) -> tuple[int, ...]:
        """Return the numbers of a shard's items; those of the last shards asked for are remembered."""
        if self.spec.command:
            return (1,)
        if len(self._members) > REMEMBERED:
            self._members.clear()
        if shard not in self._members:
            self._members[shard] = tuple(item.number for item in self.items.shard(shard))
        return self._members[shard]

    def looked_at(self, shard: int) -> tuple[int, int]:
        """Return how many items of a shard are done and failed, by looking; zeros where it is damaged."""
        if self.spec.command:
            return 0, int(self.failures.failed(1))
        try:
            members = self.members(shard)
        except (WarehouseError, FileNotFoundError):
            return 0, 0  # whoever comes to do it says so; all others must still be told of the job
        left = [item for item in members if not self.pictures.begun(item)]
        return len(members) - len(left), sum(self.failures.failed(item) for item in left)

    def outcome(self) -> dict[str, Any] | None:
        """Return how the job ended, `{"state", "done", "failed", "ended"}`; None while it has not."""
        data = self.files.read(self.folder.finished)
        try:
            told = json.loads(data) if data else None
        except ValueError:
            return None
        return told if isinstance(told, dict) and "state" in told else None

    def ended(self) -> bool:
        """Return whether the job has ended."""
        return self.outcome() is not None

    def cancelled(self) -> bool:
        """Return whether somebody asked for its end."""
        return self.files.exists(self.folder.cancel)

    def halted(self) -> bool:
        """Return whether it is paused: by somebody, for want of room on the disk, or for a fault."""
        return any(self.files.exists(mark) for mark in self._halts)

    @property
    def _halts(self) -> tuple[Path, Path, Path]:
        return self.folder.pause, self.folder.disk_pause, self.folder.fault_pause

    def mark(self, shard: int) -> DoneMark | None:
        """Return the done mark of a shard, where it is done."""
        data = self.files.read(self.folder.done_mark(shard))
        return DoneMark.read(data) if data else None

    def settled(self, item: int) -> bool:
        """Return whether nothing is left to do for an item: it is done, or failed."""
        if self.pictures.begun(item) and self.pictures.done(item):
            return True
        return self.failures.failed(item)

    def cancel(self) -> None:
        """Stop the job for good; what is done stays. A picture at work is given up after its current step.

        Raises:
            JobConflictError: it has ended.
        """
        self._need_open("cancel")
        if self.files.create(self.folder.cancel, self._by()):
            self.events.tell("cancelled")

    def pause(self) -> None:
        """Halt the job; the micro-batch at work is finished.

        Raises:
            JobConflictError: it has ended, or was cancelled.
        """
        self._need_open("pause", though_cancelled=False)
        if self.files.create(self.folder.pause, self._by()):
            self.events.tell("paused", by="request")

    def pause_for_room(self) -> None:
        """Halt the job because the disk is full; workers let it go on when there is room again."""
        if self.files.create(self.folder.disk_pause, b""):
            self.events.tell("paused", by="disk")

    def pause_for_fault(self, message: str) -> None:
        """Halt the job because nobody can go on with it; `resume` when that has been mended.

        Args:
            message: why, and what to do.
        """
        if self.files.create(self.folder.fault_pause, canonical({"message": message})):
            self.events.tell("paused", by="fault", message=message)

    def fault(self) -> str:
        """Return why the job is paused for a fault; "" = it is not."""
        data = self.files.read(self.folder.fault_pause)
        try:
            return "" if data is None else str(json.loads(data)["message"])
        except (ValueError, KeyError, TypeError):
            return "see the log of the workers"

    def resume(self) -> None:
        """Let the job go on.

        Raises:
            JobConflictError: it has ended, or was cancelled.
        """
        self._need_open("resume", though_cancelled=False)
        was = self.halted()
        for mark in self._halts:
            self.files.remove(mark)
        if was:
            self.events.tell("resumed")

    def retry_failed(self) -> int:
        """Try the failed items again, and those whose files are gone; return how many failed ones there are.

        Raises:
            JobConflictError: it was cancelled.
        """
        if self.cancelled():
            raise JobConflictError(f"the job {self.id} was cancelled", "submit it again")
        failed = set(self.failures.items())
        for shard in range(self.spec.shards):
            mark = self.mark(shard)
            if mark is not None and (failed.intersection(mark.failed) or self.faults(mark)):
                self.reopen(mark)
        for item in failed:
            self.failures.remove(item)
            self.tries.forget(item)
        if failed:
            self.events.tell("reopened", items=len(failed))
        self.open_again()
        return len(failed)

    def open_again(self) -> None:
        """Let a job that has ended go on."""
        self._opens.add(self.id, self.spec.queue)
        self.files.remove(self.folder.finished)

    def faults(self, mark: DoneMark) -> list[int]:
        """Return the items of a done shard whose files are not as they were and not whole."""
        if self.spec.command:
            return []
        broken = [item for item in mark.failed if not self.failures.failed(item)]
        for item, stamp in mark.stamps.items():
            if self.pictures.stamp(item) != stamp and not self.pictures.done(item):
                broken.append(item)
        return broken

    def reopen(self, mark: DoneMark) -> None:
        """Let a shard that is done be done again: generations go on where they were."""
        self.claims.claim(
            mark.shard, self.claims.highest(mark.shard), "released", self.owner, mark.generation
        )
        self.files.remove(self.folder.done_mark(mark.shard))

    def report(self, step: int, steps: int, note: str = "") -> None:
        """Tell how far the item at work is; advisory."""
        self.files.remove(self.folder.progress)  # so that ext4 does not flush the new one
        self.files.write(self.folder.progress, canonical({"step": step, "steps": steps, "note": note}))

    def progress(self) -> tuple[int, int, str]:
        """Return steps done, steps in all, and a note; zeros where nothing is told."""
        data = self.files.read(self.folder.progress)
        try:
            told = json.loads(data) if data else {}
            return int(told.get("step", 0)), int(told.get("steps", 0)), str(told.get("note", ""))
        except (ValueError, TypeError, AttributeError):
            return 0, 0, ""

    def close(self, state: str, done: int, failed: int, ended: str) -> None:
        """Write down how the job ended; the first to say so is right."""
        told = {"state": state, "done": done, "failed": failed, "ended": ended}
        first = self.files.create(self.folder.finished, canonical(told))
        if not first and self.outcome() is None:  # cut off by a loss of power
            self.files.write(self.folder.finished, canonical(told))
        if first:
            self.events.tell("finished", state=state, done=done, failed=failed)
        self._opens.remove(self.id, self.spec.queue)

    def _need_open(self, what: str, though_cancelled: bool = True) -> None:
        told = self.outcome()
        state = told["state"] if told else "cancelled" if self.cancelled() and not though_cancelled else ""
        if state:
            raise JobConflictError(
                f"cannot {what} the job {self.id}: it is {state}", "see its status; submit it again"
            )

    def _by(self) -> bytes:
        return canonical({"by": self.owner.name})
