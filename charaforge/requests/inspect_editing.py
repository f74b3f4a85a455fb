"""Prompts of A1111 without what is not offered here: words that change from step to step, prompts joined.

Of `[from:to:when]` the words that the picture ends with stay, of `[a|b]` the first; `AND` becomes a comma.
"""

from __future__ import annotations

import re

from charaforge.errors import PromptError
from charaforge.requests.grammar import check_prompt, escape

_PIECE = re.compile(r"\\.|[^\\\[\]]+|[\[\]\\]", re.DOTALL)
_SIGN = re.compile(r"\\.|[()\[\]{}]|[:|]", re.DOTALL)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_AND = re.compile(r"\s*\bAND\b\s*")
_SHARE = re.compile(r"\s*:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*$")


def without_editing(text: str) -> str:
    """Return a prompt that `check_prompt` refuses, as one that it takes; in the worst case as plain words."""
    joined = _AND.split(text)
    if len(joined) > 1:
        text = ", ".join(_SHARE.sub("", part) for part in joined)
    taken = _without_groups(text)
    try:
        check_prompt(taken)
    except PromptError:
        return escape(text)
    return taken


def _without_groups(text: str) -> str:
    open_groups: list[list[str]] = [[]]
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece == "[":
            open_groups.append([])
        elif piece == "]" and len(open_groups) > 1:
            body = "".join(open_groups.pop())
            open_groups[-1].append(_taken(body))
        else:
            open_groups[-1].append(piece)
    return "[".join("".join(group) for group in open_groups)


def _taken(body: str) -> str:
    """Return what stays of the words between square brackets."""
    parts = _split(body, ":")
    if len(parts) > 1 and _NUMBER.fullmatch(parts[-1]):
        return next((part for part in reversed(parts[:-1]) if part.strip()), "")
    choices = _split(body, "|")
    return choices[0] if len(choices) > 1 else f"[{body}]"


def _split(text: str, sign: str) -> list[str]:
    """Cut a text at a sign, where it stands outside of all brackets and unescaped."""
    parts, depth, start = [], 0, 0
    for match in _SIGN.finditer(text):
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth -= 1
        elif match[0] == sign and depth <= 0:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]
