"""The items of one shard, rendered in their micro-batches, and what is done when something goes wrong.

Before anything is rendered it is written down. What a crash leaves written is rendered alone the next time,
at the same size of the micro-batch, so that it gives the same bytes; and only a crash while alone counts
against an item.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from charaforge.errors import CharaForgeError, UnknownNameError
from charaforge.jobstore.claims import Claim
from charaforge.jobstore.committer import Committer, Stopwatch
from charaforge.jobstore.files import denied, disk_full, of_the_disk
from charaforge.jobstore.job import Job
from charaforge.jobstore.marks import ATTEMPTS, DoneMark, Failure, ShardTry
from charaforge.jobstore.pictures import Stamp
from charaforge.jobstore.rendering import Picture
from charaforge.jobstore.spec import Item
from charaforge.logs import get_logger

if TYPE_CHECKING:
    from charaforge.jobstore.work import Worker

logger = get_logger(__name__)

LAST_RUNG = 3
"""Of the memory ladder: pictures one by one, for the last attempt at an item that ended two workers."""
CHECK_EVERY_S = 0.2
ROOM_S = 60.0  # so long pictures wait in memory for room on the disk
ROOM_POLL_S = 0.5


class Stopped(Exception):
    """The shard is given up for now; the message says why."""


class ShardWork:
    """One shard being done.

    Args:
        worker: who does it.
        job: the job.
        claim: on the shard.
    """

    def __init__(self, worker: Worker, job: Job, claim: Claim) -> None:
        self._worker, self._job, self._claim = worker, job, claim
        self._shard = claim.shard
        self._try = ShardTry(job.files, job.folder, claim.shard, claim.generation)
        self._committer = Committer(job, worker.executor, self._await_room)
        self._suspects: set[int] = set()
        self._errors: dict[int, str] = {}
        self._checked_s = time.monotonic()
        self._waited_s = 0.0

    def run(self) -> None:
        """Do all that is left, and make the done mark.

        Raises:
            Stopped: the job was cancelled or paused, the worker ends, the claim was taken over, there is no
                room on the disk, or something is in the way that somebody has to mend.
            OSError: the files cannot be written just now.
        """
        try:
            if self._job.spec.command:
                self._command()
            else:
                self._pictures()
        except Stopped:
            self._give_up()
            raise
        except OSError as error:
            self._give_up()
            if disk_full(error):
                self._no_room()
            if denied(error):
                self._halt(f"{error}; let the workers read and write there")
            raise

    def _pictures(self) -> None:
        items = self._job.items.shard(self._shard)
        self._suspects = self._try.suspects()
        left = [item for item in items if not self._job.settled(item.number)]
        self._suspects &= {item.number for item in left}
        for _, group in groupby(left, key=lambda item: item.micro_batch):
            self._may_go_on()
            self._group(list(group))
        self._committer.wait()
        self._mark([item.number for item in items])

    def _may_go_on(self) -> None:
        """Let those through who wait, and raise where this shard must stop."""
        job = self._job
        if job.spec.queue == "batch":
            self._worker.serve_waiting()
        if self._worker.draining.is_set():
            raise Stopped("this worker ends")
        if job.cancelled():
            raise Stopped("the job was cancelled")
        if job.halted():
            raise Stopped("the job was paused")
        if not job.claims.mine(self._claim):
            raise Stopped("another worker has taken it over")
        if not job.files.room(self._worker.store.root):
            self._no_room()

    def _no_room(self) -> None:
        if self._job.spec.queue == "interactive":
            self._fail_all("there is no room on the disk of the warehouse; make room there")
        else:
            self._job.pause_for_room()
        raise Stopped("the disk is full")

    def _halt(self, message: str) -> None:
        """Stop, because of something that nobody but a person can mend."""
        if self._job.spec.queue == "interactive":
            self._fail_all(message)
        else:
            self._job.pause_for_fault(message)
        raise Stopped(message)

    def _fail_all(self, message: str) -> None:
        """Fail what is left of a job that somebody waits for: better told than halted."""
        for item in self._job.members(self._shard):
            if not self._job.settled(item):
                self._job.failures.write(Failure(item, "warehouse", message))

    def _await_room(self) -> bool:
        """Halt the job and wait a little, so that what is rendered need not be rendered again."""
        if self._waited_s >= ROOM_S or self._job.spec.queue == "interactive":
            return False
        if self._worker.draining.is_set() or self._job.cancelled():
            return False
        with contextlib.suppress(OSError):
            self._job.pause_for_room()
        time.sleep(ROOM_POLL_S)
        self._waited_s += ROOM_POLL_S
        return True

    def _group(self, items: Sequence[Item]) -> None:
        """Render the items of a micro-batch: together those that no crash has befallen, then the others."""
        together = [item for item in items if item.number not in self._suspects]
        if together:
            at_work = [*self._committer.pending, *(item.number for item in together)]
            self._try.begin(self._suspects, at_work)
            self._suspects |= {item.number for item in self._together(together)}
        alone = [item for item in items if item.number in self._suspects]
        if alone:
            self._committer.wait()
            self._try.begin(self._suspects, ())
        for item in alone:
            self._alone(item)
            self._suspects.discard(item.number)

    def _together(self, items: Sequence[Item]) -> list[Item]:
        """Render items together; return those to be rendered alone, because one of them is at fault."""
        left = list(items)
        watch = Stopwatch()
        first = True
        try:
            for picture in self._rendered(items, None):
                if first:  # what came before is written: at most one micro-batch is ever lost
                    self._committer.wait()
                    first = False
                item = left.pop(0)
                self._committer.put(item, picture, self._facts(item, watch))
        except (Stopped, OSError):
            raise
        except CharaForgeError as error:
            if len(items) > 1:
                return left
            self._fail(Failure.of(items[0].number, error))
        except Exception as error:  # a fault of ours, of a driver, or of the request: alone it will be told
            logger.exception("job %s: items %s", self._job.id, [item.number for item in left])
            self._errors |= {item.number: f"{type(error).__name__}: {error}" for item in left}
            return left
        return []

    def _alone(self, item: Item) -> None:
        """Render one item by itself, counting the attempt before it is made, until it is done or given up."""
        tries = self._job.tries
        while tries.alone(item.number) < ATTEMPTS:
            self._may_go_on()
            number = tries.begin_alone(item.number)
            rung = LAST_RUNG if number == ATTEMPTS else None
            watch = Stopwatch()
            try:
                for picture in self._rendered([item], rung):
                    self._committer.put(item, picture, self._facts(item, watch))
                self._committer.wait()
            except (Stopped, OSError):
                tries.end_alone(item.number, number)
                raise
            except CharaForgeError as error:
                self._fail(Failure.of(item.number, error))
            except Exception as error:
                logger.exception("job %s: item %d alone", self._job.id, item.number)
                self._errors[item.number] = f"{type(error).__name__}: {error}"
                continue
            tries.forget(item.number)
            return
        self._quarantine(item)

    def _quarantine(self, item: Item) -> None:
        told = self._errors.get(item.number, "each time the worker ended while it was rendered")
        self._fail(
            Failure(
                item.number,
                "quarantined",
                f"given up after {ATTEMPTS} attempts alone: {told}",
                "change it, or use retry-failed",
                ATTEMPTS,
            )
        )
        self._job.tries.forget(item.number)

    def _rendered(self, items: Sequence[Item], rung: int | None) -> Iterator[Picture]:
        """Yield the pictures of items; none that was made with other weights than those before."""
        try:
            for picture in self._by_renderer(items, rung):
                if self._job.spec.total > 1:
                    fault = self._job.weights.fault(picture.weights())
                    if fault:
                        self._halt(f"{fault}; put the former file back and resume, or submit the batch again")
                yield picture
        except UnknownNameError as error:
            if self._job.weights.used(error.name):  # it was there: without it all others would fail as well
                told = (
                    f"the {error.kind} {error.name!r} is gone, though pictures of this job were made with it"
                )
                self._halt(f"{told}; put it back and resume")
            raise

    def _by_renderer(self, items: Sequence[Item], rung: int | None) -> Iterator[Picture]:
        requests = [item.request for item in items]
        try:
            yield from self._worker.renderer.render(requests, items[0].size, rung, self._on_step)
        except OSError as error:
            if of_the_disk(error):
                raise
            raise RuntimeError(str(error)) from error  # a file that is missing, or none of its kind

    def _on_step(self, done: int, total: int) -> None:
        """Look now and then whether the job was cancelled; tell how far it is."""
        now = time.monotonic()
        if now - self._checked_s < CHECK_EVERY_S:
            return
        self._checked_s = now
        with contextlib.suppress(OSError):  # of the disk: it is met again between two micro-batches
            if self._job.cancelled():
                raise Stopped("the job was cancelled")
            self._job.report(done, total)

    def _facts(self, item: Item, watch: Stopwatch) -> dict[str, Any]:
        told = {"job_id": self._job.id, "item": item.number, "shard": self._shard}
        return {**told, "worker": self._worker.store.owner.name, "elapsed_ms": watch.ms()}

    def _fail(self, failure: Failure) -> None:
        self._job.failures.write(failure)
        self._job.events.tell(
            "item-failed", item=failure.item, slug=failure.slug, message=failure.message[:500]
        )

    def _command(self) -> None:
        """Run the job's command, which counts as one item."""
        tries = self._job.tries
        if tries.alone(1) >= ATTEMPTS:
            told = f"given up after {ATTEMPTS} attempts: each time the worker ended while it ran"
            self._fail(Failure(1, "quarantined", told, "see log.txt of the job", ATTEMPTS))
            self._mark([1])
            return
        number = tries.begin_alone(1)
        try:
            failure = self._worker.run_command(self._job, self._may_go_on)
        except Stopped:
            tries.end_alone(1, number)
            raise
        if failure is not None:
            self._fail(failure)
        tries.forget(1)
        self._mark([1])

    def _mark(self, members: Sequence[int]) -> None:
        """Make the done mark, where this worker still owns the shard."""
        job = self._job
        stamps: dict[int, Stamp] = {}
        failed: list[int] = []
        for item in members:
            stamp = self._committer.stamps.get(item) or self._stamp(item)
            if stamp is not None:
                stamps[item] = stamp
            elif job.failures.failed(item):
                failed.append(item)
            else:
                raise Stopped(f"item {item} is gone again")
        if not job.claims.mine(self._claim):
            raise Stopped("another worker has taken it over")
        mark = DoneMark(
            self._shard,
            self._claim.generation,
            self._worker.store.owner.name,
            time.time(),
            stamps,
            failed,
        )
        job.files.create(job.folder.done_mark(self._shard), mark.data())
        self._try.end()
        job.claims.clear([self._shard], {self._shard: self._claim.generation})
        job.events.tell("shard-done", shard=self._shard, done=len(stamps), failed=len(failed))

    def _stamp(self, item: int) -> Stamp | None:
        if self._job.failures.failed(item):
            return None
        return (0, 0, 0, 0) if self._job.spec.command else self._job.pictures.stamp(item)

    def _give_up(self) -> None:
        """Write down that nothing is at work any more; what could not be written is rendered again."""
        self._committer.settle()
        if not self._job.claims.mine(self._claim):
            return  # the tries are those of the new owner
        try:
            self._try.end(self._suspects)
        except OSError:
            logger.warning("job %s: the tries of shard %d stay", self._job.id, self._shard)
