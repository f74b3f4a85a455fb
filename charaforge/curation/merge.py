"""Merging: what all stages found, as one table that trainers read.

Every picture that was listed has its row; those with an error and those that are copies of another have no
split and are read by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.curation.outfits import outfits
from charaforge.curation.pictures import shown
from charaforge.curation.pose_rules import UNKNOWN
from charaforge.curation.pose_tags import disagreement, pose_by_tags
from charaforge.curation.sources import Imported
from charaforge.curation.splits import Member, assign, collections
from charaforge.curation.table import KEYS, Row
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import COLUMNS, TRAITS_NOTE

SIDE_COLUMNS = (
    "sha256",
    "phash",
    "w",
    "h",
    "dup_group",
    "dup_of",
    "dup_dist",
    "tag_scores",
    "keypoints",
    "pose_score",
    "rating",
    "error",
    "caption",
    "repeats",
    "pose_map",
)
"""Columns behind the nine; further ones of the stages follow."""
_OWN = {"width", "height", "format", "oddities", "tags", "pose_tag", "pose_map", *KEYS}


@dataclass(frozen=True)
class Found:
    """What the stages found: path as text -> row; {} for a stage that has not run.

    Attributes:
        look: width, height, format and oddities.
        dedupe: dup_group, dup_of, dup_dist and phash.
        tag: tags and what belongs to them.
        pose: pose_tag, keypoints and what belongs to them.
        traits: character -> tags that belong to it and stand in no caption.
    """

    look: Mapping[str, Row]
    dedupe: Mapping[str, Row]
    tag: Mapping[str, Row]
    pose: Mapping[str, Row]
    traits: Mapping[str, Sequence[str]]

    def stages(self, path: str) -> dict[str, Row]:
        """Return the rows of one picture, by stage."""
        every = {"look": self.look, "dedupe": self.dedupe, "tag": self.tag, "pose": self.pose}
        return {name: rows[path] for name, rows in every.items() if path in rows}


def merge(
    pictures: Sequence[Imported], found: Found, warehouse: Warehouse, before: Mapping[str, str] | None = None
) -> list[Row]:
    """Return the rows of the table, sorted as the pictures are.

    Args:
        pictures: what was imported.
        found: by the stages.
        warehouse: paths inside it are stored relative to its root.
        before: sha256 -> split of an earlier table.
    """
    rows = [_row(one, found, warehouse) for one in pictures]
    kept = [row for row in rows if is_kept(row)]
    told = outfits([row["tags"].split(", ") for row in kept])
    for row, outfit in zip(kept, told, strict=True):
        row["outfit"] = row["outfit"] or outfit
    several = set(collections([row["source"] for row in kept]))
    members = [Member(row["sha256"], _ties(row, several)) for row in kept]
    for row, split in zip(kept, assign(members, before=before), strict=True):
        row["split"] = split
    return rows


def is_kept(row: Mapping[str, Any]) -> bool:
    """Return whether a row is a picture to work with: no error, no copy of another."""
    return not row.get("error") and not row.get("dup_of")


def columns(rows: Sequence[Row]) -> list[str]:
    """Return the columns of the table in their order."""
    return list(dict.fromkeys([*COLUMNS, *SIDE_COLUMNS, *(name for row in rows for name in row)]))


def stored_path(path: Path, warehouse: Warehouse) -> str:
    """Return a path as tables store it; a link keeps its own name."""
    placed, root = path.parent.resolve() / path.name, warehouse.root.resolve()
    return shown(placed.relative_to(root) if placed.is_relative_to(root) else placed)


def _row(one: Imported, found: Found, warehouse: Warehouse) -> Row:
    stages = found.stages(shown(one.path))
    row: Row = dict.fromkeys((*COLUMNS, *SIDE_COLUMNS))
    for told in stages.values():
        row.update((name, value) for name, value in told.items() if name not in _OWN)
    look, tag, pose = (stages.get(name, {}) for name in ("look", "tag", "pose"))
    tags = str(tag.get("tags") or ("" if tag else one.caption))
    word, remark = _pose(str(pose.get("pose_tag") or UNKNOWN), tags)
    row |= {
        "image_path": stored_path(one.path, warehouse),
        "character": one.told.character,
        "outfit": one.told.outfit,
        "pose_tag": word if pose.get("pose_tag") else "",
        "style": one.told.style,
        "tags": tags,
        "source": one.told.source,
        "split": "",
        "sha256": look.get("sha256") or "",
        "w": look.get("width"),
        "h": look.get("height"),
        "error": _error(one, stages),
        "caption": one.caption,
        "repeats": one.repeats,
        "pose_map": stored_path(Path(pose["pose_map"]), warehouse) if pose.get("pose_map") else "",
        "dup_of": stored_path(Path(row["dup_of"]), warehouse) if row["dup_of"] else "",
    }
    traits = ", ".join(found.traits.get(one.told.character, ()))
    notes = [f"{TRAITS_NOTE}{traits}" if traits else "", remark, str(look.get("oddities") or ""), one.note]
    return row | {"notes": "; ".join(note for note in notes if note) if not row["error"] else ""}


def _pose(word: str, tags: str) -> tuple[str, str]:
    """Return the pose, and a remark where tags say something else."""
    told = tags.split(", ")
    if word == UNKNOWN and (by_tags := pose_by_tags(told)):
        return by_tags, f"pose: {by_tags} by tags alone"
    other = disagreement(word, told)
    return word, f"pose: {word} by key points, {other} by tags" if other else ""


def _error(one: Imported, stages: Mapping[str, Row]) -> str:
    """Return the first reason why a picture cannot be used."""
    if one.error:
        return one.error
    for name, row in stages.items():
        if error := str(row.get("error") or ""):
            return error if name == "look" or error.startswith(name) else f"{name}: {error}"
    return ""


def _ties(row: Row, several: set[str]) -> tuple[str, ...]:
    group, source = row.get("dup_group"), row["source"]
    ties = [f"dup {group}"] if group not in (None, "") else []
    return (*ties, f"source {source}") if source and source not in several else tuple(ties)
