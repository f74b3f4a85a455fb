"""The pictures of a batch as one zip, made while it is sent."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from typing import IO, Any, cast

from charaforge.jobstore.job import Job
from charaforge.jobstore.pictures import fits
from charaforge.requests.batch_faults import safe_cell

CHUNK = 256 * 1024  # bytes that are gathered before they are sent
TABLE = "pictures.csv"
_COLUMNS = ("file", "item", "row", "seed", "prompt", "negative", "sha256")


class _Sink(io.RawIOBase):
    """A file that is written to the end only, and emptied meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0
        self.waiting = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        self.waiting += len(part)
        return len(part)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self.waiting = [], 0
        return data


def archive_of(job: Job, sidecars: bool) -> Iterator[bytes]:
    """Yield a zip of the pictures that are done; names as in the job's folder, pictures uncompressed.

    Args:
        job: the batch.
        sidecars: whether their JSON files are in it, too.
    """
    sink, table = _Sink(), io.StringIO()
    rows = csv.writer(table)
    rows.writerow(_COLUMNS)
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for number in range(1, job.spec.total + 1):
            if not job.pictures.begun(number):
                continue
            row = _add(job, number, archive, sidecars)
            if row is not None:
                rows.writerow([safe_cell(str(cell)) for cell in row])
            if sink.waiting >= CHUNK:
                yield sink.take()
        archive.writestr(_entry(TABLE), table.getvalue())
    yield sink.take()


def _add(job: Job, number: int, archive: zipfile.ZipFile, sidecars: bool) -> list[object] | None:
    """Add one picture; return its row of the table, or nothing where its files are gone."""
    png, sidecar = job.pictures.png(number), job.pictures.sidecar(number)
    data, said = job.files.read(png), job.files.read(sidecar)
    told = job.pictures.told(number)
    if data is None or said is None or told is None:
        return None
    if not fits(data, told):
        return None  # damaged since: `retry-failed` renders it again
    name = png.relative_to(job.pictures.out).as_posix()
    archive.writestr(_entry(name), data)
    if sidecars:
        archive.writestr(_entry(name.removesuffix(".png") + ".json"), said)
    item = job.items.item(number)
    words = (item.request["seed"], item.request["prompt"], item.request["negative"])
    return [name, number, item.note.get("row", ""), *words, told.get("sha256", "")]


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry of always the same time, so that equal batches give equal archives."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    return entry
