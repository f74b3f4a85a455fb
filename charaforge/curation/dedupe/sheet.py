"""A page to look at: every group of copies with its keeper, and pairs that only nearly were copies."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from PIL import Image

from charaforge.curation.dedupe.dedupe import Copy, Deduped
from charaforge.curation.pictures import read_picture, shown
from charaforge.curation.stage import Row
from charaforge.errors import PictureError
from charaforge.warehouse.atomic import write_text

_SIDE = 144  # px
_GROUPS, _MEMBERS, _PAIRS = 100, 5, 50


@dataclass(frozen=True)
class _Shown:
    """One picture on the page: a data URI and what is said below it."""

    picture: str
    name: str
    facts: str
    is_keeper: bool = False


def write_sheet(file: Path, found: Deduped, rows: Mapping[Path, Row]) -> None:
    """Write the page: one file that needs no network.

    Args:
        file: where; HTML.
        found: by `finish`.
        rows: of the stage.
    """
    groups: dict[Path, list[Copy]] = defaultdict(list)
    for copy in found.copies:
        groups[copy.keeper].append(copy)
    largest = sorted(groups.items(), key=lambda group: (-len(group[1]), str(group[0])))
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_template())
    page = template.render(
        summary=found.summary,
        groups=[_group(keeper, copies, rows) for keeper, copies in largest[:_GROUPS]],
        num_groups=len(groups),
        pairs=[[_one(path, rows) for path in pair] for pair in found.apart[:_PAIRS]],
        num_pairs=len(found.apart),
    )
    write_text(file, page)


def _template() -> str:
    return (resources.files(__package__ or "") / "sheet.html").read_text(encoding="utf-8")


def _group(keeper: Path, copies: list[Copy], rows: Mapping[Path, Row]) -> dict[str, Any]:
    members = [_one(copy.path, rows, _relation(copy)) for copy in copies[:_MEMBERS]]
    return {"members": [_one(keeper, rows, "kept", True), *members], "more": len(copies) - len(members)}


def _relation(copy: Copy) -> str:
    if copy.is_exact:
        return "equal file"
    return f"{copy.distance} bits" + (f", {copy.turn}" if copy.turn else "")


def _one(path: Path, rows: Mapping[Path, Row], relation: str = "", is_keeper: bool = False) -> _Shown:
    row = rows[path]
    facts = f"{row['width']} × {row['height']} {row['format']}"
    return _Shown(_data_uri(path), shown(path), f"{relation} · {facts}" if relation else facts, is_keeper)


def _data_uri(path: Path) -> str:
    """Return a small picture as a data URI; "" where the file has gone."""
    try:
        picture = Image.fromarray(read_picture(path).rgb)
    except PictureError:
        return ""
    picture.thumbnail((_SIDE, _SIDE), reducing_gap=2.0)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
