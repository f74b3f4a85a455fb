"""The whole pipeline: a folder of pictures becomes a table that trainers read.

Each pass decodes a picture once for all of its stages: first what it is and its hashes, then, for those that
are no copies, tags and poses. Everything is remembered by content; the same command again goes on where a run
was stopped, and looks only at what is new.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charaforge.curation import look, pose
from charaforge.curation.dataset import Dataset, write_table
from charaforge.curation.dedupe import dedupe, features
from charaforge.curation.dedupe.sheet import write_sheet
from charaforge.curation.pictures import Found
from charaforge.curation.sources import Import, Imported, Told, read_sources
from charaforge.curation.stage import Row, run_stages
from charaforge.curation.table import read_stage, update_summary, write_stage
from charaforge.curation.tagging import tagging
from charaforge.curation.tagging.rules import TaggingRules
from charaforge.curation.tagging.sidecars import split_tags
from charaforge.curation.tagging.subjects import Subject
from charaforge.errors import DatasetError
from charaforge.logs import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True)
class Tools:
    """What looks at the pictures, and the rules after it.

    Attributes:
        taggers: at least one.
        rules: of tagging.
        estimators: of poses.
        maps: whether pose maps are drawn.
        radius: bits of 64 within which hashes are close.
        any_turn: find mirrored and turned copies too.
    """

    taggers: Sequence[tagging.Tagger]
    rules: TaggingRules
    estimators: pose.Estimators
    maps: bool = True
    radius: int = dedupe.DEFAULT_RADIUS
    any_turn: bool = True


@dataclass
class Curated:
    """What came of it.

    Attributes:
        table: path of the table.
        report: validation report.
        seconds: step -> how long it took.
    """

    table: Path
    report: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def curate(folder: Path, given: Told, dataset: Dataset, tools: Tools) -> Curated:
    """Run all stages over a folder.

    Args:
        folder: the pictures; nothing in it is changed.
        given: what holds for all of them, the character at least.
        dataset: where the results go.
        tools: what looks at the pictures.

    Raises:
        UsageError: there is no such folder.
        DatasetError: there are no pictures in it.
        WarehouseError: another run works on the same dataset.
    """
    result = Curated(dataset.table)
    step = _Clock(result.seconds)
    imported = step("import", lambda: read_listing(folder, given, dataset))
    hashes = step("look + hash", lambda: _look_and_hash(imported, dataset))
    found = step("dedupe", lambda: _dedupe(hashes, dataset, tools))
    keepers = _without(imported.pictures, {copy.path for copy in found.copies})
    tags, poses = step("tag + pose", lambda: _tag_and_pose(keepers, dataset, tools))
    step("tags", lambda: _finish_tags(keepers, tags, dataset, tools))
    step("poses", lambda: pose.finish(dataset.folder, poses, tools.estimators, tools.maps))
    result.report = step("merge", lambda: write_table(dataset, imported))
    update_summary(dataset.folder, "curate", _rates(result))
    return result


def read_listing(folder: Path, given: Told, dataset: Dataset) -> Import:
    """Import a folder.

    Raises:
        UsageError: there is no such folder.
        DatasetError: there are no pictures in it.
    """
    imported = read_sources(folder, given, dataset.warehouse)
    if not imported.pictures:
        raise DatasetError(f"there are no pictures in {folder}", "give the folder that holds them")
    for problem in imported.problems:
        logger.warning("%s", problem)
    return imported


def look_at(imported: Import, dataset: Dataset) -> None:
    """Run the first stage and write its table."""
    (rows,) = run_stages([look.look_stage()], _files(imported.pictures), dataset.cache)
    write_stage(dataset.folder, look.NAME, with_errors(imported.pictures, rows))


def _look_and_hash(imported: Import, dataset: Dataset) -> dict[Path, Row]:
    stages = [look.look_stage(), features.stage()]
    looks, hashes = run_stages(stages, _files(imported.pictures), dataset.cache)
    write_stage(dataset.folder, look.NAME, with_errors(imported.pictures, looks))
    return with_errors(imported.pictures, hashes)


def _dedupe(hashes: Mapping[Path, Row], dataset: Dataset, tools: Tools) -> dedupe.Deduped:
    """Group the copies; write the table, and the page to review where something is new."""
    before = read_stage(dataset.folder, dedupe.NAME)
    found = dedupe.finish(dataset.folder, hashes, tools.radius, tools.any_turn)
    page = dataset.folder / "dedupe.html"
    if not page.is_file() or read_stage(dataset.folder, dedupe.NAME) != before:
        write_sheet(page, found, hashes)
    return found


def _without(pictures: Sequence[Imported], copies: set[Path]) -> list[Imported]:
    return [one for one in pictures if one.path not in copies]


def with_errors(pictures: Sequence[Imported], rows: Mapping[Path, Row]) -> dict[Path, Row]:
    """Return the rows of a stage with those that could not be taken in their places."""
    return {one.path: rows.get(one.path, {"sha256": "", "error": one.error}) for one in pictures}


def _tag_and_pose(
    keepers: Sequence[Imported], dataset: Dataset, tools: Tools
) -> tuple[list[dict[Path, Row]], dict[Path, Row]]:
    stages = [*(tagging.tag_stage(tagger) for tagger in tools.taggers), pose.pose_stage(tools.estimators)]
    *tags, poses = run_stages(stages, _files(keepers), dataset.cache)
    return tags, with_errors(keepers, poses)


def _finish_tags(
    keepers: Sequence[Imported], rows: Sequence[Mapping[Path, Row]], dataset: Dataset, tools: Tools
) -> None:
    subjects = [
        Subject(Found(one.path, one.error), one.told.character, tuple(split_tags(one.caption)))
        for one in keepers
    ]
    tagging.finish(dataset.folder, subjects, rows, tools.taggers, tools.rules, captions=False)


def _files(pictures: Sequence[Imported]) -> list[Path]:
    return [one.path for one in pictures if not one.error]


def _rates(result: Curated) -> dict[str, Any]:
    """Return what `summary.json` tells of the whole run."""
    total = sum(result.seconds.values())
    seconds = {name: round(value, 3) for name, value in result.seconds.items()}
    pictures = result.report["pictures"]
    return {"pictures": pictures, "seconds": seconds, "pictures_per_second": round(pictures / total, 2)}


class _Clock:
    """Runs a step and remembers how long it took."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    def __call__(self, name: str, step: Callable[[], Any]) -> Any:
        start = time.monotonic()
        result = step()
        self._seconds[name] = time.monotonic() - start
        return result
