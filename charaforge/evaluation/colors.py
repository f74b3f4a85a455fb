"""Colours of hair and eyes among tags."""

from collections import Counter
from collections.abc import Iterable, Sequence

HAIR, EYES = " hair", " eyes"

_COLORS = frozenset(
    (
        *("aqua", "black", "blonde", "blue", "brown", "green", "grey", "gray", "orange"),
        *("pink", "purple", "red", "silver", "white", "yellow"),
    )
)
_SHARE, _SEEN = 0.8, 0.25


def colored(tags: Iterable[str], end: str) -> frozenset[str]:
    """The tags that tell a colour of ``HAIR`` or ``EYES``."""
    return frozenset(tag for tag in tags if tag.endswith(end) and tag.split()[0] in _COLORS)


def with_colors(traits: Sequence[str], pictures: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Add the colour of hair or eyes where the traits of a character tell none.

    Traits are what nearly all pictures show, and closed eyes have no colour: a quarter of them is enough for
    an eye colour not to count. So it is looked for where one is seen: it is added where at least 0.8 of the
    pictures that show any colour, and these are a quarter of all, agree.

    Args:
        traits: Tags of the fixed traits.
        pictures: Tags of each training picture.
    """
    found = list(traits)
    for end in (HAIR, EYES):
        if colored(traits, end):
            continue
        shown = [seen for seen in (colored(tags, end) for tags in pictures) if seen]
        counts = Counter(tag for seen in shown for tag in seen)
        for tag, count in counts.most_common(1):
            if count >= _SHARE * len(shown) and len(shown) >= _SEEN * len(pictures):
                found.append(tag)
    return tuple(found)
