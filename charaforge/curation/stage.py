"""Running one stage over many files: cached by content, resumable, decoding ahead, never stopping at a file.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """Run a stage over files.

    Args:
        stage: what to do.
        files: the files, each once.
        cache: folder of what is remembered.

    Returns:
        One row per file, in the order of `files`: "sha256" ("" where the file cannot be read), "error" ("" or
        the reason), and without an error what `work` gave. Errors are not remembered, but tried again.

    Raises:
        WarehouseError: another run is using the cache, or it cannot be written.
        CharaForgeError: `work` raised one: the stage itself, not a file, is at fault.
    """
    marks = fingerprints(files, cache)
    store = cache / stage.name / f"{stage.key}.jsonl"
    done: dict[str, Row] = {line["sha256"]: line["row"] for line in read_lines(store) if "row" in line}
    errors: dict[str, str] = {}
    wanted = {mark.sha256: (path, mark) for path, mark in reversed(marks.items()) if not mark.error}
    todo = [one for sha256, one in reversed(wanted.items()) if sha256 not in done]
    already = len(wanted) - len(todo)
    with Lines(store) as lines, Progress(len(wanted), stage.name, "pictures", already) as progress:
        for pictures, failed in _decoded(todo, stage.batch):
            rows = dict(zip((p.sha256 for p in pictures), _work(stage, pictures), strict=True))
            fresh = {sha256: row for sha256, row in rows.items() if not row.get("error")}
            lines.append({"sha256": sha256, "row": row} for sha256, row in fresh.items())
            done |= fresh
            errors |= failed | {sha256: str(rows[sha256]["error"]) for sha256 in rows.keys() - fresh.keys()}
            progress.advance(len(rows) + len(failed))
    return {path: _row(mark, done, errors) for path, mark in marks.items()}


def _row(mark: Fingerprint, done: Mapping[str, Row], errors: Mapping[str, str]) -> Row:
    if mark.sha256 in done:
        return {**done[mark.sha256], "sha256": mark.sha256, "error": ""}
    return {"sha256": mark.sha256, "error": mark.error or errors[mark.sha256]}


def _decoded(
    todo: Sequence[tuple[Path, Fingerprint]], size: int
) -> Iterator[tuple[list[Picture], dict[str, str]]]:
    """Yield groups of pictures, each with what failed meanwhile: sha256 -> error."""
    group: list[Picture] = []
    failed: dict[str, str] = {}
    for mark, future in _read_ahead(todo, size):
        try:
            picture = future.result()
            if picture.sha256 != mark.sha256:
                raise PictureError("the file changed while it was read; run again")
            group.append(picture)
        except PictureError as error:
            failed[mark.sha256] = error.message
        if len(group) + len(failed) >= size or sum(one.rgb.nbytes for one in group) >= AHEAD_BYTES:
            yield group, failed
            group, failed = [], {}
    yield group, failed


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
