"""Running stages over many files: cached by content, resumable, decoding ahead, never stopping at a file.

A stage is a function from pictures to rows. What it gave for a content is remembered in
`<cache>/<stage>/<key>.jsonl`, where the key stands for its parameters and its model; so the same bytes are
never worked on twice, whatever they are called, and a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from charaforge.curation.cache import Lines, read_lines
from charaforge.curation.fingerprints import THREADS, Fingerprint, fingerprints
from charaforge.curation.pictures import Picture, read_picture
from charaforge.errors import CharaForgeError, PictureError
from charaforge.logs import Progress

Row = dict[str, Any]
AHEAD_BYTES = 256 * 2**20
"""How many bytes of decoded pictures lie in memory at most, one picture always being allowed."""


@dataclass(frozen=True)
class Stage:
    """What is done with every picture.

    Attributes:
        name: "pose", "tag", …; a folder of the cache is called so.
        work: gets up to `batch` pictures, gives one row of JSON values each; {"error": reason} is a row too.
        parameters: JSON values that decide the result.
        model_sha256: of the model's file, or "" without one.
        batch: pictures per call of `work`.
        padded: fill every call up to `batch` with copies of its last picture, whose rows are dropped: for
            nets, whose answers differ in the last bits between batch sizes; a resumed run then equals an
            uninterrupted one.
    """

    name: str
    work: Callable[[list[Picture]], list[Row]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    model_sha256: str = ""
    batch: int = 32
    padded: bool = False

    @property
    def key(self) -> str:
        """Sixteen hex digits that stand for parameters and model."""
        told = json.dumps([self.name, dict(self.parameters), self.model_sha256], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def run_stage(stage: Stage, files: Sequence[Path], cache: Path) -> dict[Path, Row]:
    """Run a stage over files; see `run_stages`, which runs several in one pass."""
    return run_stages([stage], files, cache)[0]


def run_stages(stages: Sequence[Stage], files: Sequence[Path], cache: Path) -> list[dict[Path, Row]]:
    """Run stages over files, decoding each picture once for all of them.

    Args:
        stages: what to do.
        files: the files, each once.
        cache: folder of what is remembered.

    Returns:
        Per stage one row per file, in the order of `files`: "sha256" ("" where the file cannot be read),
        "error" ("" or the reason), and without an error what `work` gave. Errors are not remembered, but
        tried again.

    Raises:
        WarehouseError: another run is using the cache, or it cannot be written.
        CharaForgeError: `work` raised one: the stage itself, not a file, is at fault.
    """
    from threadpoolctl import threadpool_limits

    marks = fingerprints(files, cache)
    wanted = {mark.sha256: (path, mark) for path, mark in reversed(marks.items()) if not mark.error}
    with ExitStack() as stack:
        runs = [stack.enter_context(_Run(stage, cache)) for stage in stages]
        todo = [one for sha256, one in reversed(wanted.items()) if any(run.lacks(sha256) for run in runs)]
        label, already = " + ".join(stage.name for stage in stages), len(wanted) - len(todo)
        stack.enter_context(threadpool_limits(1, "blas"))  # the cores belong to decoding and to nets
        progress = stack.enter_context(Progress(len(wanted), label, "pictures", already))
        for mark, reading in _read_ahead(todo, max(stage.batch for stage in stages)):
            _hand_over(mark, reading, runs)
            progress.advance()
        for run in runs:
            run.flush()
        return [run.rows(marks) for run in runs]


def _hand_over(mark: Fingerprint, reading: Future[Picture], runs: Sequence[_Run]) -> None:
    try:
        picture = reading.result()
        if picture.sha256 != mark.sha256:
            raise PictureError("the file changed while it was read; run again")
    except PictureError as error:
        for run in runs:
            run.errors[mark.sha256] = error.message
    else:
        for run in runs:
            run.take(picture)


class _Run:
    """One stage under way: what is done, and the pictures that wait for the next call of `work`."""

    def __init__(self, stage: Stage, cache: Path) -> None:
        store = cache / stage.name / f"{stage.key}.jsonl"
        self._stage = stage
        self._lines = Lines(store)
        self._done: dict[str, Row] = {
            line["sha256"]: line["row"] for line in read_lines(store) if "row" in line
        }
        self._waiting: list[Picture] = []
        self.errors: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._lines.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.__exit__(kind, error, trace)

    def lacks(self, sha256: str) -> bool:
        return sha256 not in self._done

    def take(self, picture: Picture) -> None:
        """Work on the picture, or let it wait until a group is full."""
        if self.lacks(picture.sha256):
            self._waiting.append(picture)
            held = sum(one.rgb.nbytes for one in self._waiting)
            if len(self._waiting) == self._stage.batch or held >= AHEAD_BYTES:
                self.flush()

    def flush(self) -> None:
        """Work on what waits, and remember it."""
        rows = dict(zip((p.sha256 for p in self._waiting), _work(self._stage, self._waiting), strict=True))
        fresh = {sha256: row for sha256, row in rows.items() if not row.get("error")}
        self._lines.append({"sha256": sha256, "row": row} for sha256, row in fresh.items())
        self._done |= fresh
        self.errors |= {sha256: str(rows[sha256]["error"]) for sha256 in rows.keys() - fresh.keys()}
        self._waiting = []

    def rows(self, marks: Mapping[Path, Fingerprint]) -> dict[Path, Row]:
        return {path: self._row(mark) for path, mark in marks.items()}

    def _row(self, mark: Fingerprint) -> Row:
        if mark.sha256 in self._done:
            return {**self._done[mark.sha256], "sha256": mark.sha256, "error": ""}
        return {"sha256": mark.sha256, "error": mark.error or self.errors[mark.sha256]}


def _read_ahead(
    todo: Sequence[tuple[Path, Fingerprint]], size: int
) -> Iterator[tuple[Fingerprint, Future[Picture]]]:
    """Yield the readings in order; threads read what comes next, up to a group and `AHEAD_BYTES`."""
    coming, waiting = deque(todo), deque[tuple[Fingerprint, Future[Picture]]]()
    ahead = 0
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            while coming or waiting:
                while coming and (
                    not waiting or (len(waiting) < size and ahead + coming[0][1].pixels * 3 <= AHEAD_BYTES)
                ):
                    path, mark = coming.popleft()
                    waiting.append((mark, pool.submit(read_picture, path)))
                    ahead += mark.pixels * 3
                mark, future = waiting.popleft()
                ahead -= mark.pixels * 3
                yield mark, future
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _work(stage: Stage, pictures: list[Picture]) -> list[Row]:
    """Return one row per picture; where a group fails, each is tried alone, so that none spoils others."""
    if not pictures:
        return []
    filled = pictures
    if stage.padded:
        filled = pictures + pictures[-1:] * (stage.batch - len(pictures))
    try:
        return stage.work(filled)[: len(pictures)]
    except CharaForgeError:
        raise
    except Exception as error:  # a runtime's own classes; told in the row of the picture
        if len(pictures) == 1:
            return [{"error": f"{stage.name} failed: {type(error).__name__}: {error}"}]
    return [row for picture in pictures for row in _work(stage, [picture])]
