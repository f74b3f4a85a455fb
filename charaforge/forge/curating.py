"""The first step: a folder becomes a table whose held-out pictures no training sees."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charaforge.curation.curate import Tools, curate
from charaforge.curation.dataset import Dataset
from charaforge.curation.pictures import find_pictures
from charaforge.curation.pose import Estimators
from charaforge.curation.sources import Told
from charaforge.curation.splits import QUOTAS
from charaforge.curation.tagging.rules import TaggingRules, TraitRules
from charaforge.errors import NotMeasurableError, UsageError
from charaforge.evaluation.judges import find_judge
from charaforge.evaluation.subject import FEWEST_REFERENCES
from charaforge.forge.plan import ForgePlan
from charaforge.perception.opening import open_detector, open_pose, open_tagger
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry
from charaforge.warehouse.tables import is_usable, table_rows

FEWEST_PICTURES = 4 * FEWEST_REFERENCES
"""Usable pictures below which a quarter of them is too few to be held against."""


def folder_digest(folder: Path) -> dict[str, Any]:
    """Number of pictures and a sha256 of everything in a folder that curation reads.

    Raises:
        UsageError: there is no such folder.
        NotMeasurableError: there are no pictures in it.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "give the folder that holds the pictures")
    count = len(find_pictures(folder))
    if not count:
        raise NotMeasurableError(
            f"there are no pictures in {folder}",
            f"give the folder that holds them: {FEWEST_PICTURES} are needed, 60 and more are good",
        )
    digest = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return {"pictures": count, "sha256": digest.hexdigest()}


def curated(plan: ForgePlan, warehouse: Warehouse) -> dict[str, Any]:
    """Curate the folder; return where the table is and what it holds.

    Raises:
        UsageError: no tagger or pose estimator for pictures of this base.
    """
    dataset = Dataset(plan.dataset, warehouse)
    result = curate(plan.folder, Told(plan.character), dataset, _tools(plan, Registry(warehouse)))
    rows = [row for row in table_rows(result.table) if row["character"] == plan.character]
    splits = [row["split"] for row in rows if is_usable(row)]
    return {
        "table": str(result.table),
        "sha256": hashlib.sha256(result.table.read_bytes()).hexdigest(),
        "pictures": len(rows),
        "splits": {name: splits.count(name) for name in ("train", *QUOTAS)},
    }


def is_another(told: Mapping[str, Any], table: Path) -> bool:
    """Whether a table is gone, or no longer what curation told of it: other folders may share its name."""
    if told.get("table") != str(table):
        return False
    return not table.is_file() or hashlib.sha256(table.read_bytes()).hexdigest() != told["sha256"]


def check_enough(told: dict[str, Any], folder: Path) -> None:
    """Refuse a table with too few pictures to train on and to be held against.

    Raises:
        NotMeasurableError: with the number that is missing.
    """
    usable = sum(told["splits"].values())
    if usable < FEWEST_PICTURES or told["splits"]["ref"] < FEWEST_REFERENCES:
        missing = max(FEWEST_PICTURES - usable, FEWEST_REFERENCES - told["splits"]["ref"], 1)
        raise NotMeasurableError(
            f"{folder} has {usable} usable pictures that are no copies (of {told['pictures']}), "
            f"{told['splits']['ref']} of them held out as references",
            f"{FEWEST_PICTURES} are needed, of which {FEWEST_REFERENCES} are held out: "
            f"{missing} {'is' if missing == 1 else 'are'} missing; 60 and more are good",
        )


def _tools(plan: ForgePlan, registry: Registry) -> Tools:
    base = registry.get(plan.model, "base")
    tagger, pose = (_needed(registry, base, kind) for kind in ("tagger", "pose"))
    detector = find_judge(registry, base, "detector")
    return Tools(
        [open_tagger(registry, tagger.name)],
        TaggingRules(traits=TraitRules(prune=True)),
        Estimators(
            open_pose(registry, pose.name), open_detector(registry, detector.name) if detector else None
        ),
        maps=False,
    )


def _needed(registry: Registry, base: ModelEntry, kind: str) -> ModelEntry:
    found = find_judge(registry, base, kind)
    if found is None:
        word = {"tagger": "tagger", "pose": "pose estimator"}[kind]
        raise UsageError(
            f"there is no {word} for pictures of {base.name}",
            "fetch one with: charaforge models pull OWNER/NAME",
        )
    return found
