"""The validation report: what a table holds, and what would spoil a training on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from charaforge.curation.merge import is_kept
from charaforge.curation.splits import collections
from charaforge.curation.table import Row, counts
from charaforge.warehouse.tables import UNKNOWN_POSE

FREQUENT = 0.8
"""A fragment of this share of the captions teaches the trigger word nothing."""
FEWEST_CAPTIONS = 5
"""With fewer captions nothing is called frequent."""
LONGEST_CAPTION = 75
"""Words and commas of a caption that one window of the text encoder holds, at most."""
TINY = 256
"""Shorter side below which a picture is tiny, px."""
EXTREME = 2.0
"""Aspect ratio above which training cuts something off."""
FEWEST_REFERENCES = 8
_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """Something that should be looked at.

    Attributes:
        kind: short name.
        count: rows, or fragments, or whatever `text` speaks of.
        text: what was found.
        advice: what to do about it.
        examples: a few of them.
    """

    kind: str
    count: int
    text: str
    advice: str
    examples: tuple[str, ...] = ()


def validate(rows: Sequence[Row], problems: Sequence[str] = ()) -> dict[str, Any]:
    """Return the report of a merged table, as JSON values.

    Args:
        rows: of the table.
        problems: what the import found wrong with tables among the pictures.
    """
    kept = [row for row in rows if is_kept(row)]
    findings = [*_files(rows, kept, problems), *_captions(kept), *_poses(kept), *_splits(kept)]
    return {
        **counts(rows),
        "copies": sum(bool(row.get("dup_of")) and not row.get("error") for row in rows),
        "kept": len(kept),
        "splits": dict(Counter(row["split"] for row in kept).most_common()),
        "pose_tags": dict(Counter(row["pose_tag"] for row in kept if row["pose_tag"]).most_common()),
        "outfits": dict(Counter(row["outfit"] for row in kept if row["outfit"]).most_common()),
        "findings": [asdict(finding) for finding in findings if finding.count],
    }


def lines(report: Mapping[str, Any]) -> list[str]:
    """Return the report as a person reads it."""
    splits = ", ".join(f"{name} {count}" for name, count in report["splits"].items())
    told = [
        f"pictures:  {report['pictures']}: {report['kept']} kept, {report['copies']} copies, "
        f"{report['errors']} with errors",
        f"splits:    {splits or 'none'}",
    ]
    told += [f"           {count} × {reason}" for reason, count in report["reasons"].items()]
    for finding in report["findings"]:
        told.append(f"look at:   {finding['text']}: {finding['advice']}")
        told += [f"           {example}" for example in finding["examples"]]
    return told


def _files(rows: Sequence[Row], kept: Sequence[Row], problems: Sequence[str]) -> Iterable[Finding]:
    renamed = _paths(row for row in rows if "extension says" in str(row.get("notes")))
    tiny = _paths(row for row in kept if row["w"] and min(row["w"], row["h"]) < TINY)
    extreme = _paths(row for row in kept if row["w"] and _aspect(row) > EXTREME)
    yield _finding("tables", problems, "{} lines of tables cannot be used", "mend them, and run again")
    yield _finding(
        "renamed", renamed, "{} files have another format than their name says", "rename them; they are used"
    )
    yield _finding(
        "tiny", tiny, f"{{}} pictures are smaller than {TINY} px", "look for larger ones, or remove them"
    )
    yield _finding(
        "extreme", extreme, f"{{}} pictures are more than {EXTREME:g} times as long as wide", "crop them"
    )


def _captions(kept: Sequence[Row]) -> Iterable[Finding]:
    tagged = [row for row in kept if row["tags"]]
    frequent = [
        f"{text} ({share:.0%})" for text, share in frequent_fragments([row["tags"] for row in tagged])
    ]
    long = _paths(row for row in tagged if len(re.findall(r"\w+|,", row["tags"])) > LONGEST_CAPTION)
    empty = _paths(row for row in kept if not row["tags"])
    yield _finding(
        "frequent",
        frequent,
        f"{{}} fragments stand in at least {FREQUENT:.0%} of the captions",
        "what belongs to the character should be left to the trigger word (charaforge tag can prune traits)",
    )
    yield _finding("empty", empty, "{} pictures have no tags", "run charaforge tag, or write captions")
    yield _finding(
        "long",
        long,
        f"{{}} captions have more than {LONGEST_CAPTION} words and commas",
        "the text encoder cuts them off; raise the thresholds of tagging",
    )


def _poses(kept: Sequence[Row]) -> Iterable[Finding]:
    other = [f"{row['image_path']}: {note}" for row in kept for note in _remarks(row, "by key points")]
    unknown = _paths(row for row in kept if row["pose_tag"] == UNKNOWN_POSE)
    several = _paths(row for row in kept if isinstance(row.get("people"), int) and row["people"] > 1)
    yield _finding("pose", other, "{} poses differ between key points and tags", "look at them")
    yield _finding("unknown pose", unknown, "{} poses are unknown", "captions will not name them")
    yield _finding("people", several, "{} pictures show several people", "crop them to the character")


def _splits(kept: Sequence[Row]) -> Iterable[Finding]:
    large = collections([row["source"] for row in kept])
    references = sum(row["split"] == "ref" for row in kept)
    yield _finding(
        "collections", large, "{} sources hold too many pictures to lie in one split", "they are split up"
    )
    if kept and references < FEWEST_REFERENCES:
        text = f"{references} references are held out, {FEWEST_REFERENCES} are needed to measure a likeness"
        yield Finding("references", 1, text, f"{4 * FEWEST_REFERENCES} pictures suffice")


def frequent_fragments(captions: Sequence[str]) -> list[tuple[str, float]]:
    """Return the comma-separated fragments of at least `FREQUENT` of the captions, with their share."""
    if len(captions) < FEWEST_CAPTIONS:
        return []
    found = Counter(part for text in captions for part in {part.strip() for part in text.split(",")} if part)
    shares = [(part, count / len(captions)) for part, count in found.items()]
    return sorted((one for one in shares if one[1] >= FREQUENT), key=lambda one: (-one[1], one[0]))


def _finding(kind: str, found: Sequence[str], text: str, advice: str) -> Finding:
    more = [f"… and {len(found) - _EXAMPLES} more"] if len(found) > _EXAMPLES else []
    return Finding(kind, len(found), text.format(len(found)), advice, (*found[:_EXAMPLES], *more))


def _paths(rows: Iterable[Row]) -> list[str]:
    return [str(row["image_path"]) for row in rows]


def _remarks(row: Row, word: str) -> list[str]:
    return [note for note in str(row["notes"]).split("; ") if word in note]


def _aspect(row: Row) -> float:
    return float(max(row["w"], row["h"]) / max(min(row["w"], row["h"]), 1))
