"""What the columns of a batch file mean: cells in, the parts of a `GenerationRequest` out.

Cells of CSV are text, values of JSON may be anything; `lora` for example is `name:0.8|other` or a list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from charaforge.requests.generation import LoraUse

Cells = Mapping[str, Any]
WORDS = ("prompt", "negative", "seed", "wildcard_seed")
"""Columns that differ from row to row; what the others say is built once for all rows that say the same."""
_PLAIN = ("model", "width", "height", "steps", "scheduler", "guidance", "clip_skip", "vae", "count")
_MAPS = {
    "pose_image": "pose",
    "depth_image": "depth",
    "canny_image": "canny",
    "lineart_image": "lineart",
    "pose_keypoints": "pose",
}
_SCALE = {"strength": "strength", "start": "start", "end": "end", "preprocessor": "preprocessor"}
_SCALE |= {"control_model": "model"}
_INIT = ("image", "denoise", "mask", "mask_blur", "fill", "area", "padding")
_HIRES = {"hires_upscaler": "upscaler", "hires_denoise": "denoise", "hires_steps": "steps"}
ALIASES = {
    "negative_prompt": "negative",
    "cfg_scale": "guidance",
    "cfg": "guidance",
    "sampler": "scheduler",
    "init_image": "image",
    "loras": "lora",
    "references": "ip_adapter",
    "checkpoint": "model",
}
FILES = ("image", "mask", "face_ref", "style_ref")
WITH_FILES = ("init", "controls", "references")
NOTE, IGNORED = "note", "reason"
COLUMNS = (
    *("prompt", "negative", "pose_image", "lora", "seed", "width", "height", "steps"),
    *("model", "scheduler", "guidance", "clip_skip", "vae", "count", "wildcard_seed"),
    *("lora_ids", "lora_scales", "controls", *list(_MAPS)[1:], *_SCALE),
    *("init", *_INIT, "face_ref", "style_ref", "ip_adapter", "hires", *_HIRES, "variation"),
    *(NOTE, IGNORED, *ALIASES),
)
"""Every column that a batch file may have."""


class CellFault(Exception):
    """A cell that cannot be read.

    Args:
        column: where it stands.
        message: what is wrong with it.
    """

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message


@dataclass
class Parts:
    """The fields of a request, still unchecked, and which column each came from.

    Attributes:
        told: field -> value.
        origins: place in the request, e.g. ("controls", 0, "strength") -> column.
    """

    told: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str | int, ...], str] = field(default_factory=dict)

    def put(self, value: Any, column: str, *place: str | int) -> None:
        """Set a field of the request."""
        if len(place) == 1:
            self.told[str(place[0])] = value
        self.origins[place] = column

    def column_of(self, place: tuple[str | int, ...]) -> str:
        """Return the column that a fault at a place of the request came from."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.origins:
                return self.origins[place[:length]]
        return str(place[0]) if place else ""

    def located(self, find: Callable[[str, str, bool], str]) -> dict[str, Any]:
        """Return the fields that hold files, as parts of a request, every path found.

        Args:
            find: gives the path for a column, what it says, and whether JSON of key points is taken too.
        """

        def walk(value: Any, where: tuple[str | int, ...]) -> Any:
            if isinstance(value, Mapping):
                return {name: walk(inner, (*where, name)) for name, inner in value.items()}
            if isinstance(value, list):
                return [walk(inner, (*where, place)) for place, inner in enumerate(value)]
            if isinstance(value, str) and where[-1] in FILES:
                return find(self.column_of(where), value, where[0] == "controls")
            return value

        return {name: walk(self.told[name], (name,)) for name in WITH_FILES if name in self.told}


def own_name(column: str) -> str:
    """Return the one name that stands for a column and its aliases."""
    return ALIASES.get(column, column)


def by_own_names(cells: Cells) -> dict[str, Any]:
    """Return cells with their columns by `own_name`; of several for one, the last counts."""
    return {own_name(column): value for column, value in cells.items()}


def parts_of(cells: Cells) -> Parts:
    """Return what the cells of a row say, but for WORDS.

    Args:
        cells: column -> value, without empty ones, names as in COLUMNS.

    Raises:
        CellFault: a cell cannot be read.
    """
    cells = by_own_names(cells)
    parts = Parts()
    for column in _PLAIN:
        if column in cells:
            parts.put(cells[column], column, column)
    for build in (_loras, _controls, _init, _references, _hires, _variation):
        build(cells, parts)
    return parts


def _loras(cells: Cells, parts: Parts) -> None:
    if "lora" in cells and "lora_ids" in cells:
        raise CellFault("lora_ids", "give lora or lora_ids, not both")
    if "lora_scales" in cells and "lora_ids" not in cells:
        raise CellFault("lora_scales", "needs lora_ids")
    column = "lora" if "lora" in cells else "lora_ids"
    if column not in cells:
        return
    uses = [_lora(value, column) for value in _listed(cells[column])]
    if "lora_scales" in cells:
        scales = _listed(cells["lora_scales"])
        if len(scales) != len(uses):
            raise CellFault("lora_scales", f"{len(scales)} scales for {len(uses)} LoRAs; give one for each")
        uses = [{**use, "weight": scale} for use, scale in zip(uses, scales, strict=True)]
    parts.put(uses, column, "loras")


def _lora(value: Any, column: str) -> dict[str, Any]:
    if isinstance(value, str):
        return dict(LoraUse.values(value.strip()))
    return _mapping(value, column, "a LoRA is NAME, NAME:WEIGHT or an object")


def _controls(cells: Cells, parts: Parts) -> None:
    scale = {name: cells[column] for column, name in _SCALE.items() if column in cells}
    found: list[Any] = []
    for column, kind in _MAPS.items():
        if column not in cells:
            continue
        key = "keypoints" if column == "pose_keypoints" else "image"
        value = _json(cells[column], column) if key == "keypoints" else cells[column]
        parts.origins |= {("controls", len(found)): column}
        parts.origins |= {
            ("controls", len(found), name): told for told, name in _SCALE.items() if told in cells
        }
        found.append({"type": kind, key: value, **scale})
    if scale and not found:
        raise CellFault(next(told for told in _SCALE if told in cells), "needs a map, for example pose_image")
    if "controls" in cells:
        listed = _json(cells["controls"], "controls")
        parts.origins[("controls",)] = "controls"
        found += listed if isinstance(listed, list) else [listed]
    if found:
        parts.told["controls"] = found


def _init(cells: Cells, parts: Parts) -> None:
    given = {name: cells[name] for name in _INIT if name in cells}
    if "init" in cells:
        parts.put(
            {**_mapping(_json(cells["init"], "init"), "init", "init is an object"), **given}, "init", "init"
        )
    elif "image" in given:
        parts.put(given, "image", "init")
    elif given:
        raise CellFault(next(iter(given)), "needs image, the picture to start from")
    parts.origins |= {("init", name): name for name in given}


def _references(cells: Cells, parts: Parts) -> None:
    found: list[Any] = []
    for column in ("face_ref", "style_ref"):
        for value in _listed(cells[column]) if column in cells else ():
            file, weight = _with_number(value, column)
            parts.origins[("references", len(found))] = column
            found.append({column: file, **({} if weight is None else {"weight": weight})})
    if "ip_adapter" in cells:
        listed = _json(cells["ip_adapter"], "ip_adapter")
        parts.origins[("references",)] = "ip_adapter"
        found += listed if isinstance(listed, list) else [listed]
    if found:
        parts.told["references"] = found


def _hires(cells: Cells, parts: Parts) -> None:
    given = {name: cells[column] for column, name in _HIRES.items() if column in cells}
    if "hires" not in cells:
        if given:
            raise CellFault(next(column for column in _HIRES if column in cells), "needs hires, the scale")
        return
    value = cells["hires"]
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _json(value, "hires")
    told = value if isinstance(value, Mapping) else {"scale": value}
    parts.put({**told, **given}, "hires", "hires")
    parts.origins |= {("hires", name): column for column, name in _HIRES.items() if column in cells}


def _variation(cells: Cells, parts: Parts) -> None:
    value = cells.get("variation")
    if value is None:
        return
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        seed, colon, strength = value.partition(":")
        if not colon:
            raise CellFault("variation", "has no strength; write SEED:STRENGTH, for example 99:0.2")
        value = {"seed": seed, "strength": strength}
    told = _json(value, "variation")
    parts.put(
        _mapping(told, "variation", "variation is SEED:STRENGTH or an object"), "variation", "variation"
    )


def _listed(value: Any) -> list[Any]:
    """Return the values of `a|b`, of a list, or of JSON text that is one."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            value = _json(value, "")
        else:
            return [part.strip() for part in value.split("|") if part.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _json(value: Any, column: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise CellFault(column, "is no JSON") from None


def _mapping(value: Any, column: str, message: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise CellFault(column, message)
    return dict(value)


def _with_number(value: Any, column: str) -> tuple[str, float | None]:
    """Return file and number of `FILE` or `FILE:NUMBER`."""
    if not isinstance(value, str):
        raise CellFault(column, "is no path")
    file, colon, number = value.rpartition(":")
    try:
        return (file, float(number)) if colon else (value, None)
    except ValueError:
        return value, None
