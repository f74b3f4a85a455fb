"""An index of the jobs that have not ended, so that nobody has to look through all that ever were.

One empty file each: `.open/<job_id>.<queue>`. It is made before the job and deleted after its end; what a
crash leaves out or behind is mended by looking at all jobs now and then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charaforge.jobstore.files import Files


@dataclass(frozen=True)
class Opens:
    """The index.

    Args:
        files: the disk.
        folder: `…/batches/.open`.
    """

    files: Files
    folder: Path

    def add(self, job_id: str, queue: str) -> None:
        """Say that a job has not ended."""
        self.files.create(self._mark(job_id, queue), b"")

    def remove(self, job_id: str, queue: str) -> None:
        """Say that it has ended."""
        self.files.remove(self._mark(job_id, queue))

    def list(self) -> list[tuple[str, str]]:
        """Return name and queue of every job that has not ended, oldest first."""
        names = sorted(self.files.names(self.folder))
        return [(job_id, queue) for job_id, _, queue in (name.rpartition(".") for name in names) if job_id]

    def _mark(self, job_id: str, queue: str) -> Path:
        return self.folder / f"{job_id}.{queue}"
