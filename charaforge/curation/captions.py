"""Words that lie beside pictures: `.txt`, `.caption` and `.json` files of taggers and downloaders.

`NAME.txt` and `NAME.png.txt` both belong to `NAME.png`. JSON is read as kohya's finetune scripts, waifuc,
gallery-dl and Danbooru's API write it: "tags" as a text, a list or tag -> score, "tag_string" separated by
spaces, or "caption", "text", "description" and "prompt" as texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUFFIXES = (".txt", ".caption", ".json")
WORDS = ("tags", "tag_string", "caption", "text", "description", "prompt")
"""Keys and columns that hold words, the first that is filled counts."""


@dataclass(frozen=True)
class Words:
    """What is told of a picture.

    Attributes:
        caption: tags separated by ", ", or a sentence; "" where there is none.
        told: everything else that a JSON file says.
        problem: what is wrong with the file, or "".
    """

    caption: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def words_beside(picture: Path, names: frozenset[str]) -> Words:
    """Return the words in the files beside a picture; texts go before JSON, which then still tells the rest.

    Args:
        picture: the picture.
        names: of all files in its folder.
    """
    result = Words()
    for suffix in SUFFIXES:
        for name in (picture.stem + suffix, picture.name + suffix):
            if name in names:
                found = _read(picture.with_name(name))
                problem = "; ".join(part for part in (result.problem, found.problem) if part)
                result = Words(result.caption or found.caption, found.told or result.told, problem)
    return result


def caption_of(told: Mapping[str, Any]) -> str:
    """Return the words in what a JSON file or a row of metadata tells."""
    for key in WORDS:
        if caption := _joined(told.get(key), spaces=key == "tag_string"):
            return caption
    return ""


def _read(file: Path) -> Words:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        return Words(problem=f"{file.name} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return Words(problem=f"{file.name} is not UTF-8")
    if file.suffix != ".json":
        return Words(" ".join(text.split()))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Words(problem=f"{file.name} is not JSON")
    if isinstance(value, dict):
        return Words(caption_of(value), value)
    return Words(_joined(value, spaces=False))


def _joined(value: Any, spaces: bool) -> str:
    """Return tags in any form as one text; `spaces`: a text without commas is separated by them."""
    if isinstance(value, Mapping):
        if all(isinstance(score, int | float) for score in value.values()):
            return ", ".join(sorted(map(str, value), key=lambda tag: -value[tag]))
        return ", ".join(filter(None, (_joined(part, spaces) for part in value.values())))
    if isinstance(value, list):
        return ", ".join(part for part in (" ".join(str(one).split()) for one in value) if part)
    if not isinstance(value, str):
        return ""
    text = " ".join(value.split())
    if "," not in text and (spaces or ("_" in text and " " in text)):
        return ", ".join(text.split())
    return text
