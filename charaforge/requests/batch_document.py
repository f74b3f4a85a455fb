"""A batch as JSON: items, what they share, and axes that each of them is varied along.

    {"defaults": {"steps": 25, "lora": "charA:0.8"},
     "items":    [{"prompt": "running"}, {"prompt": "sitting", "seed": "100..199"}],
     "axes":     {"lora": ["charA:0.6", "charA:1.0"], "replace": ["hat", "cap", "hood"]}}

Every item is rendered with every combination of the axes' values, the first axis changing fastest: an X/Y/Z
grid. `replace` puts each of its words in the place of the first one in the prompt. A list alone is items.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from charaforge.config.model import StrictModel, fault_lines
from charaforge.errors import suggestion
from charaforge.requests.batch_columns import ALIASES, COLUMNS, by_own_names, own_name
from charaforge.requests.batch_faults import Faults

MAX_BYTES = 32 * 2**20
REPLACE = "replace"
AXES = (*COLUMNS, REPLACE)


class BatchDocument(StrictModel):
    """A batch of pictures."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "prompt": "anime [character] running",
                            "lora": "charA_sdxl_r16_v1:0.8",
                            "seed": "100..103",
                        }
                    ],
                    "defaults": {"negative": "blurry", "steps": 25},
                },
                {
                    "items": [{"prompt": "1girl, hat, smile", "seed": 42}],
                    "axes": {"steps": [10, 20], "replace": ["hat", "cap"]},
                    "score": False,
                },
            ]
        }
    )

    items: list[dict[str, Any]] = Field(
        [], description="columns of the CSV, and the fields of /txt2img, for each picture"
    )
    defaults: dict[str, Any] = Field({}, description="what items do not say themselves")
    axes: dict[str, list[Any]] = Field(
        {}, description="a grid: column -> values; `replace`: words put in the place of the first one"
    )
    score: bool = Field(False, description="measure how much each picture looks like its LoRA's character")
    partial: bool = Field(False, description="queue the sound items, give the others back")


def read_document(data: bytes, faults: Faults) -> BatchDocument | None:
    """Return the batch that JSON text describes; None, with faults, where it is none."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        faults.add(0, "", f"this is no JSON: {error}")
        return None
    try:
        return BatchDocument.model_validate({"items": told} if isinstance(told, list) else told)
    except ValidationError as error:
        for line in fault_lines(error, BatchDocument):
            faults.add(0, "", line)
    return None


def rows_of(document: BatchDocument, faults: Faults, limit: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and cells of every item at every place of the grid; items are numbered from 1.

    Args:
        document: the batch.
        faults: unknown columns and broken axes go there.
        limit: how many there may be.
    """
    items: list[dict[str, Any]] = document.items or ([{}] if document.axes else [])
    if not items:
        faults.add(0, "", "there are no items; give at least one, or axes")
    _check_axes(document, faults)
    total = len(items) * math.prod(len(values) for values in document.axes.values())
    if total > limit:
        faults.add(
            0, "", f"{total:,} pictures; at most {limit:,} are taken: split it, or raise BATCH_MAX_ITEMS"
        )
    if faults.count:
        return
    names = [own_name(name) for name in document.axes]
    defaults = by_own_names(document.defaults)
    for number, item in enumerate(items, start=1):
        twice = _told_twice(item)
        if twice:
            faults.refuse(number, item, twice, "the column is there twice; give it one name")
            continue
        cells = {**defaults, **by_own_names(item)}
        unknown = [name for name in cells if name not in COLUMNS]
        for name in unknown:
            faults.refuse(number, cells, name, f"unknown column; {suggestion(name, COLUMNS)}")
        if unknown:
            continue
        kept = {name: value for name, value in cells.items() if value is not None and value != ""}
        for combination in itertools.product(*reversed(document.axes.values())):
            chosen = dict(zip(names, reversed(combination), strict=True))
            yield number, _placed(kept, chosen, document.axes)


def _told_twice(item: Mapping[str, Any]) -> str:
    """Return the name under which an item says something again, "" = none."""
    return next((name for name in item if name in ALIASES and ALIASES[name] in item), "")


def _placed(
    cells: Mapping[str, Any], chosen: dict[str, Any], axes: Mapping[str, list[Any]]
) -> dict[str, Any]:
    """Return the cells at one place of the grid."""
    if REPLACE in chosen:
        word = str(chosen.pop(REPLACE))
        replaced = str(cells.get("prompt", chosen.get("prompt", ""))).replace(str(axes[REPLACE][0]), word)
        return {**cells, **chosen, "prompt": replaced}
    return {**cells, **chosen}


def _check_axes(document: BatchDocument, faults: Faults) -> None:
    for name, values in document.axes.items():
        if name not in AXES:
            faults.add(0, f"axes.{name}", f"unknown column; {suggestion(name, AXES)}")
        elif not values:
            faults.add(0, f"axes.{name}", "the axis has no values; give at least one")
    if document.axes.get(REPLACE):
        word = str(document.axes[REPLACE][0])
        prompts = [str({**document.defaults, **item}.get("prompt", "")) for item in document.items]
        missing = sum(word not in prompt for prompt in prompts)
        if missing and "prompt" not in document.axes:
            faults.add(0, "axes.replace", f"{word!r} stands in no prompt of {missing} items")
