"""How Danbooru's tags are written for people and text encoders: spaces instead of underscores."""

from __future__ import annotations

import re

_SHORT = 3
_WORD = re.compile(r"[^\W_]{2}")


def spaced(name: str) -> str:
    """Return a tag with spaces for underscores; emoticons such as ``^_^`` and ``||_||`` stay as they are."""
    name = name.strip()
    return name if is_emoticon(name) else name.replace("_", " ")


def underscored(name: str) -> str:
    """Return a tag as Danbooru writes it: the inverse of `spaced`."""
    return "_".join(name.split())


def is_emoticon(name: str) -> bool:
    """Return whether a tag draws a face (``0_0``, ``>_o``, ``(o)_(o)``): its underscore is a mouth.

    Tags of at most three signs do (kohya's rule), and longer ones with one underscore in which no two letters
    or digits stand side by side.
    """
    return len(name) <= _SHORT or (name.count("_") == 1 and not _WORD.search(name))
