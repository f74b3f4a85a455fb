"""The end of a job: every picture is looked at once more, everything is flushed, then it is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from charaforge.jobstore.claims import Claim
from charaforge.jobstore.job import Job
from charaforge.jobstore.spec import State
from charaforge.logs import get_logger

logger = get_logger(__name__)

BEAT_EVERY = 64  # shards: the end of a large job is looked at for a while, and its guard has to stay alive


def _nothing(job: Job) -> None:
    """Do nothing before a job ends."""


def finish(job: Job, before: Callable[[Job], None] = _nothing) -> bool:
    """End a job where it is time to; return whether it has ended now.

    A shard whose pictures are gone or broken is opened again. A cancelled job ends when no worker is at it.

    Args:
        job: the job.
        before: called when all is done and before that is said, so that whoever is killed in between does it
            again.
    """
    if job.ended():
        return True
    if job.cancelled():
        return _cancelled(job)
    names = job.files.names(job.folder.done)
    if len(names) < job.spec.shards:
        return False
    guard = _guard(job)
    if guard is None:
        return job.ended()
    try:
        return _audited(job, guard, before)
    finally:
        job.claims.clear([job.spec.shards])


def _guard(job: Job) -> Claim | None:
    """Return a claim on the end of a job, so that one process at a time looks at all of it."""
    highest = job.claims.highest(job.spec.shards)
    if not job.claims.free(highest):
        return None
    return job.claims.claim(job.spec.shards, highest, "held", job.owner)


def _audited(job: Job, guard: Claim, before: Callable[[Job], None]) -> bool:
    done = failed = 0
    opened = False
    for shard in range(job.spec.shards):
        if shard % BEAT_EVERY == 0:
            job.claims.beat(guard)
        mark = job.mark(shard)
        broken = job.faults(mark) if mark is not None else []
        if mark is None:
            job.files.remove(job.folder.done_mark(shard))  # there, but cannot be read
            opened = True
        elif broken:
            logger.warning("job %s: pictures of items %s are gone or broken; rendered again", job.id, broken)
            job.events.tell("reopened", shard=shard, items=broken)
            job.reopen(mark)
            opened = True
        else:
            done, failed = done + len(mark.stamps), failed + len(mark.failed)
    if opened:
        return False
    waited_for = job.spec.queue == "interactive"
    if not waited_for:
        _flush(job)
    before(job)
    job.close(_state(done, failed), done, failed, _now())
    if len(job.files.names(job.folder.done)) < job.spec.shards:  # somebody has just asked to try again
        job.open_again()
        return False
    if waited_for:
        _flush(job)
    job.claims.clear(job.claims.generations().keys())
    job.files.remove(job.folder.progress)
    return True


def _flush(job: Job) -> None:
    items = range(1, job.spec.total + 1) if not job.spec.command else ()
    job.files.flush(path for n in items for path in (job.pictures.png(n), job.pictures.sidecar(n)))


def _state(done: int, failed: int) -> State:
    if not failed:
        return "completed"
    return "completed_with_errors" if done else "failed"


def _cancelled(job: Job) -> bool:
    for shard, generation in job.claims.generations().items():
        claim = job.claims.highest(shard, generation)
        if claim is not None and claim.state == "held" and not job.claims.lost(claim):
            return False
    done, failed = count_by_looking(job)
    job.close("cancelled", done, failed, _now())
    return True


def count_by_looking(job: Job) -> tuple[int, int]:
    """Return items done and failed of a job that stopped midway.

    Those of done shards by their marks, those of claimed ones by looking; the others were never begun.
    """
    done = failed = 0
    marks = {int(name[:-5]) for name in job.files.names(job.folder.done) if name[:-5].isdigit()}
    for shard in marks | job.claims.generations().keys():
        mark = job.mark(shard)
        if mark is not None:
            done, failed = done + len(mark.stamps), failed + len(mark.failed)
        elif shard < job.spec.shards:
            more, bad = job.looked_at(shard)
            done, failed = done + more, failed + bad
    return done, failed


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
