"""A1111's `parameters` text read back: prompt, negative prompt, and values by key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_PAIR = re.compile(r'\s*+(\w[\w \-/]{1,80}):\s*+("(?:\\.|[^\\"])++"|[^,]*+)(?:,|$)')
_NEGATIVE = "Negative prompt:"
_ENOUGH = 3  # pairs; a last line with fewer belongs to the prompt, as A1111 has it


@dataclass(frozen=True)
class Infotext:
    """What the text says.

    Attributes:
        prompt: may have several lines.
        negative: may have several lines.
        values: A1111's keys -> values, unquoted.
    """

    prompt: str
    negative: str
    values: dict[str, str]


def read_infotext(text: str) -> Infotext:
    """Read the text; anything can be read, in the worst case it is all prompt."""
    lines = text.replace("\r\n", "\n").strip().split("\n")
    found = list(_pairs(lines[-1]))
    values = {key: _unquoted(value.strip()) for key, value in found} if len(found) >= _ENOUGH else {}
    words = lines[:-1] if values else lines
    starts = [number for number, line in enumerate(words) if line.strip().startswith(_NEGATIVE)]
    start = starts[0] if starts else len(words)
    negative = "\n".join(words[start:]).strip().removeprefix(_NEGATIVE)
    return Infotext("\n".join(words[:start]).strip(), negative.strip(), values)


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Yield key and value of each pair, in linear time; other parts between commas are skipped."""
    place = 0
    while 0 <= place < len(line):
        match = _PAIR.match(line, place)
        if match is not None:
            yield match[1], match[2]
        comma = line.find(",", place)
        place = match.end() if match is not None else comma + 1 if comma >= 0 else len(line)


def _unquoted(value: str) -> str:
    if not (len(value) > 1 and value[0] == value[-1] == '"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
