r"""A1111's prompt syntax: what is said, how strongly, and where a new chunk begins.

    (w)        1.1 times as strong            ((w))      1.21 times
    (w:1.3)    1.3 times                      [w]        1 / 1.1 times
    \( \) \[ \] \\                            the sign itself; any other backslash is dropped
    BREAK      what follows begins a new chunk of 75 tokens

Weights multiply where brackets nest. A bracket that is never closed acts to the end, one that was never
opened is text. Other than in A1111, BREAK also breaks inside of brackets (there it becomes a word of negative
weight). Prompts that change while a picture is drawn (`[a:b:0.5]`, `[a|b]`) and several prompts in one
(`AND`) are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from charaforge.errors import PromptError

ROUND = 1.1
SQUARE = 1 / 1.1
MAX_WEIGHT = 1000.0

_TOKEN = re.compile(r"\\[()\[\]\\]|\\|[(\[\])]|:\s*(?P<weight>[+-]?[.\d]+)\s*\)|[^\\()\[\]:]+|:")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_AND = re.compile(r"\bAND\b")
_EDITING = re.compile(r"\\.|[()\[\]{}|]|:\s*(?P<step>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?=\])")
_OPENS: Final = {")": "(", "]": "[", "}": "{"}
_ESCAPES = (
    (re.compile(r"([\\()\[\]{}])"), r"\\\1"),
    (re.compile(r"\bBREAK\b"), r"B\\REAK"),
    (re.compile(r"\bAND\b"), r"A\\ND"),
    (re.compile(r"<(?=\w+:)"), r"<\\"),
    (re.compile(r"_(?=_)"), r"_\\"),
)


class Break(Enum):
    """Marks the place where a new chunk begins."""

    BREAK = "BREAK"


BREAK: Final = Break.BREAK


@dataclass(frozen=True)
class Span:
    """Words of one weight.

    Attributes:
        text: what is said, without syntax; never empty.
        weight: 1 = as it stands.
    """

    text: str
    weight: float


Part = Span | Break


def parse_prompt(text: str) -> tuple[Part, ...]:
    """Return the spans of a prompt, in order; neighbours never have the same weight.

    Raises:
        PromptError: a weight is no number or beyond ±1000, or the syntax is not offered, see `check_prompt`.
    """
    check_prompt(text)
    parts = _Parts()
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith("\\"):
            parts.say(token[1:])
        elif token in "([":
            parts.open(token)
        elif match["weight"] is not None and parts.is_open("("):
            parts.close("(", _number(match["weight"], token))
        elif token in ")]" and parts.is_open(_OPENS[token]):
            parts.close(_OPENS[token], ROUND if token == ")" else SQUARE)
        else:
            parts.read(token)
    parts.close_all()
    return tuple(parts.merged())


def check_prompt(text: str) -> None:
    """Refuse what A1111 offers and we do not.

    Raises:
        PromptError: the prompt uses `AND`, `[from:to:when]` or `[a|b]`.
    """
    if _AND.search(text):
        raise PromptError(
            "prompts joined by AND are not offered",
            "write the word in lower case, or render one picture for each prompt",
        )
    open_groups: list[_Group] = []
    for match in _EDITING.finditer(text):
        sign = match[0]
        if sign in "([{":
            open_groups.append(_Group(sign, match.start()))
        elif sign == "|" and open_groups:
            open_groups[-1].alternates = True
        elif match["step"] is not None and open_groups and open_groups[-1].sign == "[":
            raise _refused_editing(text[open_groups[-1].start : match.end() + 1])
        elif sign in _OPENS:
            group = _closed(open_groups, _OPENS[sign])
            if group is not None and group.sign == "[" and group.alternates:
                raise PromptError(
                    f"{_short(text[group.start : match.end()])!r}: words that alternate from step to step "
                    "are not offered",
                    "choose one at random with {a|b}, or name one",
                )


def escape(text: str) -> str:
    r"""Return a prompt that says `text` and nothing else: no weights, wildcards, LoRAs or chunks.

    It works by backslashes, which the grammar drops: `(`, `{` and `\` get one, `BREAK` becomes `B\REAK`.
    """
    for pattern, replacement in _ESCAPES:
        text = pattern.sub(replacement, text)
    return text


@dataclass
class _Group:
    """A bracket that is open."""

    sign: str
    start: int
    alternates: bool = False


def _closed(groups: list[_Group], sign: str) -> _Group | None:
    """Take the group that a closing bracket ends off the list, with those left open inside of it."""
    place = next((n for n in reversed(range(len(groups))) if groups[n].sign == sign), None)
    if place is None:
        return None
    group = groups[place]
    group.alternates |= any(inner.alternates for inner in groups[place + 1 :] if inner.sign == "{")
    del groups[place:]
    return group


@dataclass
class _Parts:
    """What was read so far: [text, weight] pairs and breaks, and where open brackets begin."""

    parts: list[list[str | float] | Break] = field(default_factory=list)
    starts: dict[str, list[int]] = field(default_factory=lambda: {"(": [], "[": []})

    def say(self, text: str) -> None:
        if text:
            self.parts.append([text, 1.0])

    def read(self, text: str) -> None:
        for number, piece in enumerate(_BREAK.split(text)):
            if number:
                self.parts.append(BREAK)
            self.say(piece)

    def open(self, sign: str) -> None:
        self.starts[sign].append(len(self.parts))

    def is_open(self, sign: str) -> bool:
        return bool(self.starts[sign])

    def close(self, sign: str, factor: float) -> None:
        for part in self.parts[self.starts[sign].pop() :]:
            if isinstance(part, list):
                part[1] = float(part[1]) * factor

    def close_all(self) -> None:
        for sign, factor in (("(", ROUND), ("[", SQUARE)):
            while self.is_open(sign):
                self.close(sign, factor)

    def merged(self) -> Iterator[Part]:
        held: Span | None = None
        for part in self.parts:
            if isinstance(part, list):
                text, weight = str(part[0]), _checked(float(part[1]), str(part[0]))
                if held is not None and held.weight == weight:
                    held = Span(held.text + text, weight)
                    continue
            if held is not None:
                yield held
            held = None if isinstance(part, Break) else Span(text, weight)
            if isinstance(part, Break):
                yield part
        if held is not None:
            yield held


def _number(text: str, token: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise PromptError(
            f"{text!r} in {token!r} is no number",
            "a weight is written (words:1.2); escape the bracket if none is meant",
        ) from None


def _checked(weight: float, text: str) -> float:
    if math.isfinite(weight) and abs(weight) <= MAX_WEIGHT:
        return weight
    raise PromptError(
        f"the weight of {_short(text)!r} is {weight:g}, beyond ±{MAX_WEIGHT:g}",
        "take brackets away; 0 to 2 is usual",
    )


def _refused_editing(group: str) -> PromptError:
    return PromptError(
        f"{_short(group)!r}: words that change while the picture is drawn are not offered",
        "a weight is written with round brackets, (words:0.8); escape the brackets if none is meant",
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
