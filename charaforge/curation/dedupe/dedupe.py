"""Finding copies in a dataset: equal files, then close hashes and a closer look. Nothing is deleted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from charaforge.curation.dedupe.candidates import Edges
from charaforge.curation.dedupe.chance import expected_random_pairs
from charaforge.curation.dedupe.features import features
from charaforge.curation.dedupe.grouping import Groups, grouped
from charaforge.curation.dedupe.index import Index
from charaforge.curation.dedupe.keeping import loss, preference
from charaforge.curation.pictures import shown
from charaforge.curation.stage import Row
from charaforge.curation.table import absolute, write_stage
from charaforge.perception.phash import TURNS

NAME = "dedupe"
DEFAULT_RADIUS = 6
_TOLD = ("sha256", "error", "width", "height", "phash")


@dataclass(frozen=True)
class Copy:
    """A picture that is a copy of another.

    Attributes:
        path: where it is.
        keeper: path of the one to keep.
        distance: bits of 64 between their hashes; 0 for equal files.
        turn: how to hold it to look like its keeper, one of `TURNS`; "" as it is.
        is_exact: the files are equal, byte for byte.
    """

    path: Path
    keeper: Path
    distance: int
    turn: str
    is_exact: bool


@dataclass(frozen=True)
class Deduped:
    """What was found.

    Attributes:
        table: path of `dedupe.parquet`.
        copies: every picture that is a copy, sorted by keeper and path.
        apart: pairs with close hashes that the closer look told apart.
        summary: JSON values.
    """

    table: Path
    copies: list[Copy]
    apart: list[tuple[Path, Path]]
    summary: dict[str, Any] = field(default_factory=dict)


def finish(
    dataset: Path, rows: Mapping[Path, Row], radius: int = DEFAULT_RADIUS, any_turn: bool = True
) -> Deduped:
    """Group what the stage gave, and write `<dataset>/dedupe.parquet` and the index of the dataset.

    Columns: width, height (px), phash (16 hex digits, as ImageHash's), dup_group ("" for pictures without
    copies), dup_of (path of the keeper; "" for keepers), dup_dist (bits of 64; 0 for equal files), dup_turn
    (how to hold a copy to look like its keeper).

    Args:
        dataset: folder of the dataset.
        rows: by the stage of `features.stage`, for all pictures of the dataset.
        radius: bits of 64 within which hashes are close.
        any_turn: find mirrored and turned copies too.

    Raises:
        WarehouseError: another run works on the same dataset.
    """
    contents: dict[str, list[Path]] = defaultdict(list)
    for path, row in sorted(rows.items()):
        if not row.get("error"):
            contents[row["sha256"]].append(path)
    first = {sha256: rows[paths[0]] for sha256, paths in contents.items()}
    with Index(dataset / "dedupe-index", radius, any_turn) as index:
        numbers = _known(index, first)
        order = _best_first(index, numbers, contents, first)
        groups = grouped(order, index.edges, index.crowded, index.features, radius, any_turn)
        copies = sorted(_copies(contents, numbers, groups), key=lambda one: (one.keeper, one.path))
        apart = _apart(index, contents, numbers)
    told = _columns(rows, copies)
    turns = len(TURNS) if any_turn else 1
    summary = _summary(copies, len(contents), len(apart)) | {
        "radius": radius,
        "expected_random_pairs": expected_random_pairs(len(contents), radius, turns),
    }
    return Deduped(write_stage(dataset, NAME, told, summary), copies, apart, summary)


def _known(index: Index, first: Mapping[str, Row]) -> dict[str, int]:
    """Add what is new to the index; return sha256 -> number."""
    told = np.frombuffer(bytes.fromhex("".join(first)), np.uint8).reshape(-1, 32)
    new = [row for row, number in zip(first.values(), index.numbers(told), strict=True) if number < 0]
    if new:
        index.add(features(new))
    return dict(zip(first, index.numbers(told).tolist(), strict=True))


def _best_first(
    index: Index, numbers: Mapping[str, int], contents: Mapping[str, list[Path]], first: Mapping[str, Row]
) -> list[int]:
    """Return the numbers of the contents, the best to keep first; files are opened only where it matters."""
    edges = index.edges
    compared = {*edges["one"].tolist(), *edges["other"].tolist(), *index.crowded.tolist()}

    def key(sha256: str) -> tuple[int, float, str]:
        path, row = contents[sha256][0], first[sha256]
        return preference(path, row, loss(path, row["format"]) if numbers[sha256] in compared else 0.0)

    return [numbers[sha256] for sha256 in sorted(contents, key=key)]


def _copies(contents: Mapping[str, list[Path]], numbers: Mapping[str, int], groups: Groups) -> list[Copy]:
    paths = {numbers[sha256]: same[0] for sha256, same in contents.items()}
    copies = []
    for sha256, (best, *equal) in contents.items():
        number = numbers[sha256]
        keeper = paths[int(groups.keeper[number])]
        distance, turn = int(groups.distance[number]), TURNS[groups.turn[number]]
        if keeper != best:
            copies.append(Copy(best, keeper, distance, turn, False))
        copies += [Copy(path, keeper, distance, turn, keeper == best) for path in equal]
    return copies


def _apart(
    index: Index, contents: Mapping[str, list[Path]], numbers: Mapping[str, int]
) -> list[tuple[Path, Path]]:
    paths = {numbers[sha256]: same[0] for sha256, same in contents.items()}
    edges, is_copy = index.edges, index.edges["is_copy"]
    pairs = _pairs(edges[~is_copy]) - _pairs(edges[is_copy])  # it may be a copy in one of two turns
    return sorted((paths[other], paths[one]) for one, other in pairs if one in paths and other in paths)


def _pairs(edges: Edges) -> set[tuple[int, int]]:
    return set(zip(edges["one"].tolist(), edges["other"].tolist(), strict=True))


def _columns(rows: Mapping[Path, Row], copies: Sequence[Copy]) -> dict[Path, Row]:
    found = {copy.path: copy for copy in copies}
    groups = {copy.keeper: str(rows[copy.keeper]["sha256"])[:16] for copy in copies}
    told: dict[Path, Row] = {}
    for path, row in rows.items():
        copy = found.get(path)
        told[path] = {name: row[name] for name in _TOLD if name in row} | {
            "dup_group": groups.get(copy.keeper if copy else path, ""),
            "dup_of": shown(absolute(copy.keeper)) if copy else "",
            "dup_dist": copy.distance if copy else None,
            "dup_turn": copy.turn if copy else "",
        }
    return told


def _summary(copies: Sequence[Copy], contents: int, apart: int) -> dict[str, Any]:
    turned = Counter(copy.turn for copy in copies if copy.turn)
    return {
        "contents": contents,
        "groups": len({copy.keeper for copy in copies}),
        "copies": len(copies),
        "exact": sum(copy.is_exact for copy in copies),
        "turned": dict(turned.most_common()),
        "told_apart": apart,
    }
