"""Outfits from tags, where no folder tells them: pictures that share a garment form a cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_GARMENTS = (
    "dress shirt t-shirt blouse hoodie sweater cardigan jacket coat kimono yukata serafuku overalls maid "
    "uniform swimsuit bikini leotard bodysuit armor robe cape pajamas suit skirt shorts pants jeans vest "
    "apron tracksuit sweatshirt raincoat qipao hakama cheongsam gown jumpsuit camisole"
)
GARMENTS = frozenset(re.findall(r"[\w-]+", _GARMENTS))
"""Last words of tags that name what is worn."""
FEWEST = 3
"""A garment of fewer pictures is no outfit of its own."""


def outfits(pictures: Sequence[Sequence[str]]) -> list[str]:
    """Return the outfit of every picture: its garment that most pictures share, "" where none is told.

    Args:
        pictures: the tags of every picture.
    """
    garments = [[tag for tag in tags if is_garment(tag)] for tags in pictures]
    counts = Counter(tag for tags in garments for tag in set(tags))
    return [
        max((tag for tag in tags if counts[tag] >= FEWEST), key=lambda tag: (counts[tag], tag), default="")
        for tags in garments
    ]


def is_garment(tag: str) -> bool:
    """Return whether a tag names a garment: by its last word, so that "dressing room" does not."""
    words = re.findall(r"[\w-]+", tag.casefold())
    return bool(words) and words[-1] in GARMENTS
