"""The jobs of a warehouse: submit one, find one, list them.

    store = JobStore(warehouse)
    job = store.submit([Wish(request), …])       # files; whoever works in the warehouse finds them
    store.status(job)                            # state and counts, computed from files
    job.cancel(); job.pause(); job.resume(); job.retry_failed()
    store.items(job, first=1, count=100)         # one page: state, picture, failure of each item

No broker and no database is needed for any of it; `backend.jobs` only wakes the workers sooner.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from charaforge.config.settings import batch_max_items
from charaforge.errors import JobConflictError, UnknownNameError, UsageError
from charaforge.jobstore.claims import Watch
from charaforge.jobstore.files import Files, Stat
from charaforge.jobstore.folder import JobFolder, new_job_id
from charaforge.jobstore.job import Job
from charaforge.jobstore.opens import Opens
from charaforge.jobstore.owners import Owner, this_process
from charaforge.jobstore.spec import JobSpec, Queue, Wish
from charaforge.jobstore.status import ItemView, JobStatus, Tally
from charaforge.jobstore.submitting import Prepared, prepare, write_job
from charaforge.warehouse.layout import Warehouse

JOB_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class JobStore:
    """The jobs of a warehouse, as one process sees them; safe for threads.

    Args:
        warehouse: where they are.
        files: the disk.
        owner: this process, as others shall see it.
        watch: what it remembers of claims.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        files: Files | None = None,
        owner: Owner | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.warehouse, self.root = warehouse, warehouse.batches
        self.files, self.owner, self.watch = files or Files(), owner or this_process(), watch or Watch()
        self.opens = Opens(self.files, self.root / ".open")
        self._jobs: dict[str, tuple[Stat | None, Job]] = {}  # with the spec's file, as it was read
        self._listed: dict[str, tuple[str, str]] = {}  # created and kind of all jobs that were ever listed
        self._tallies: dict[str, Tally] = {}
        self._missing: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def submit(
        self,
        wishes: Iterable[Wish],
        *,
        kind: str = "batch",
        job_id: str = "",
        queue: Queue = "batch",
        fingerprint: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> Job:
        """Make a job of pictures. It is there as a whole or not at all, whatever happens meanwhile.

        Wildcards and LoRA tags of a batch are settled and random seeds drawn here, so that the job always
        gives the same pictures.

        Args:
            wishes: the items, in the order in which they are numbered.
            kind: "batch", "picture" or "verify"; a picture keeps its wildcards in its recipe.
            job_id: its name; by default a new one. Where a job of that name and fingerprint is there already,
                that one is returned: submitting twice is submitting once.
            queue: "interactive" goes before "batch".
            fingerprint: what tells equal submissions from others.
            options: what else to keep with the job.

        Raises:
            UsageError: there are no items, or more than `BATCH_MAX_ITEMS`.
            JobConflictError: the name stands for another job.
            PromptError, UnknownNameError, ConfigError: see `requests.prompts.settle`.
        """
        known = self._known(job_id, fingerprint)
        if known is not None:
            return known
        prepared = prepare(wishes, None if kind == "picture" else self.warehouse.wildcards, batch_max_items())
        return self._made(prepared, kind, job_id, queue, fingerprint, options or {}, ())

    def submit_command(
        self,
        kind: str,
        command: Sequence[str],
        *,
        job_id: str = "",
        fingerprint: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> Job:
        """Make a job that runs a verb of `charaforge`; one item, begun again where a worker is lost.

        Args:
            kind: what it is called, e.g. "train".
            command: the arguments, e.g. ("train", "--config", "a.yaml").
            job_id: see `submit`.
            fingerprint: see `submit`.
            options: see `submit`.

        Raises:
            UsageError: the command is empty.
            JobConflictError: the name stands for another job.
        """
        if not command:
            raise UsageError("a job without a command", "name a verb of charaforge and its options")
        known = self._known(job_id, fingerprint)
        if known is not None:
            return known
        nothing = Prepared({}, b"", b"", b"", 1, 1)
        return self._made(nothing, kind, job_id, "batch", fingerprint, options or {}, tuple(command))

    def job(self, job_id: str) -> Job:
        """Return a job by its name.

        Raises:
            UnknownNameError: there is none.
        """
        found = self.find(job_id)
        if found is None:
            raise UnknownNameError("job", job_id[:80], ())
        return found

    def find(self, job_id: str) -> Job | None:
        """Return a job by its name, or nothing."""
        if not JOB_ID.fullmatch(job_id):
            return None
        folder = JobFolder(self.root / job_id)
        stat = self.files.stat(folder.spec)
        known = self._jobs.get(job_id)
        if known is not None and stat is not None and known[0] == stat:  # no later job of the same name
            return known[1]
        data = self.files.read(folder.spec) if stat is not None else None
        try:
            spec = JobSpec.read(data) if data else None
        except ValueError:
            return None
        return None if spec is None else self._remember(folder, spec, stat)

    def jobs(self, kinds: Collection[str] = (), limit: int = 100) -> list[Job]:
        """Return the newest jobs, newest first.

        Of all the others, which may be hundreds of thousands of single pictures, none is read twice.

        Args:
            kinds: which ones; none = all.
            limit: how many at most.
        """
        names = self.files.names(self.root)
        listed = {name: told for name in names if (told := self._told(name)) is not None}
        with self._lock:
            self._listed = listed
        found: list[Job] = []
        for name in sorted(listed, key=lambda name: (listed[name][0], name), reverse=True):
            job = self.find(name) if not kinds or listed[name][1] in kinds else None
            if job is not None:
                found.append(job)
            if len(found) == limit:
                break
        return found

    def status(self, job: Job, fresh: bool = False) -> JobStatus:
        """Return state, counts, rate and first failures of a job.

        Args:
            job: the job.
            fresh: as it is now; by default it may be half a second old.
        """
        with self._lock:
            tally = self._tallies.setdefault(job.id, Tally(job))
        return tally.status(fresh)

    def items(self, job: Job, first: int = 1, count: int = 100) -> list[ItemView]:
        """Return a page of items, by number.

        Args:
            job: the job.
            first: number of the first one, from 1.
            count: how many at most.
        """
        last = min(first + count - 1, job.spec.total)
        return [ItemView.of(job, number) for number in range(max(1, first), last + 1)]

    def unfinished(self) -> list[Job]:
        """Return the jobs that have not ended, oldest first."""
        found = [self.find(job_id) for job_id, _ in self.opens.list()]
        return [job for job in found if job is not None]

    def interactive(self) -> list[Job]:
        """Return the unfinished jobs that somebody waits for, oldest first."""
        found = [self.find(job_id) for job_id, queue in self.opens.list() if queue == "interactive"]
        return [job for job in found if job is not None]

    def mend_index(self) -> None:
        """Bring the index of unfinished jobs in order, by looking at all jobs."""
        listed = set(self.opens.list())
        missing = {mark for mark in listed if self.find(mark[0]) is None}
        for mark in missing & self._missing:  # a job that was never finished being submitted
            self.opens.remove(*mark)
        self._missing = missing
        for name in self.files.names(self.root):
            job = self.find(name)
            if job is None:
                continue
            mark = (job.id, job.spec.queue)
            if job.ended():
                if mark in listed:
                    self.opens.remove(*mark)
            elif mark not in listed:
                self.opens.add(*mark)

    def _told(self, name: str) -> tuple[str, str] | None:
        """Return when a job was made and of what kind it is, from memory where it was listed before."""
        known = self._listed.get(name)
        if known is None and (job := self.find(name)) is not None:
            known = job.spec.created, job.spec.kind
        return known

    def _known(self, job_id: str, fingerprint: str) -> Job | None:
        """Return the job that is there under a name; raise where it is another one."""
        if not job_id:
            return None
        if not JOB_ID.fullmatch(job_id):
            raise UsageError(f"{job_id[:80]!r} cannot name a job", "use letters, digits, '.', '_' and '-'")
        job = self.find(job_id)
        if job is not None and job.spec.fingerprint != fingerprint:
            raise JobConflictError(
                f"the job {job_id} is another one: what was sent for it was different", "take another name"
            )
        return job

    def _made(
        self,
        prepared: Prepared,
        kind: str,
        job_id: str,
        queue: Queue,
        fingerprint: str,
        options: Mapping[str, Any],
        command: tuple[str, ...],
    ) -> Job:
        now = datetime.now(UTC)
        name = job_id or new_job_id()
        out = self.warehouse.output_folder(now.date(), name)
        if job_id and self.files.exists(out):  # with the pictures of a former job of that name
            out = self.warehouse.output_folder(now.date(), f"{name}-{secrets.token_hex(3)}")
        spec = JobSpec(
            job_id=name,
            kind=kind,
            queue=queue,
            created=now.isoformat(timespec="milliseconds"),
            total=prepared.total,
            shards=prepared.shards,
            out=out.relative_to(self.warehouse.outputs).as_posix(),
            shared=prepared.shared,
            items_sha256=prepared.sha256,
            fingerprint=fingerprint,
            options=options,
            command=command,
        )
        self.opens.add(name, queue)
        folder = JobFolder(self.root / name)
        if not write_job(self.files, self.root, spec, prepared):
            known = self._known(name, fingerprint)
            if known is None:
                raise JobConflictError(
                    f"the job {name} cannot be made: {folder.path} is there and is no job",
                    "take another name, or move that away",
                )
            return known
        job = self._remember(folder, spec, self.files.stat(folder.spec))
        job.events.tell("submitted", total=spec.total, shards=spec.shards)
        return job

    def _remember(self, folder: JobFolder, spec: JobSpec, stat: Stat | None) -> Job:
        outputs = self.warehouse.outputs
        job = Job(self.files, folder, spec, outputs, self.watch, self.owner, self.opens)
        with self._lock:
            while len(self._jobs) >= 2000:
                old = next(iter(self._jobs))
                del self._jobs[old]
                self._tallies.pop(old, None)
            self._jobs[spec.job_id] = stat, job
            self._tallies.pop(spec.job_id, None)
            if spec.job_id in self._listed:
                self._listed[spec.job_id] = spec.created, spec.kind
        return job
