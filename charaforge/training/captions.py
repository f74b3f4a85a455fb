"""Captions: template words first, then tags; only the tags are shuffled and dropped.

A caption is the template's words, with empty fields and their separators removed, then ", ", then the tags,
unless the template itself says where the [tags] stand.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_FIELD = re.compile(r"\[(character|outfit|style|pose_tag)\]")
_TAGS = "[tags]"


@dataclass(frozen=True)
class Caption:
    """One picture's caption, before anything is shuffled.

    Attributes:
        before: words in front of the tags, always there and always in this order.
        tags: what may be shuffled and dropped.
        after: words behind the tags.
    """

    before: str
    tags: tuple[str, ...]
    after: str = ""

    def text(self) -> str:
        """Return the caption as it stands."""
        return self._join(self.tags)

    def variant(self, rng: random.Random, *, shuffle: bool, dropout: float) -> str:
        """Return the caption with its tags shuffled, each left out with probability `dropout`."""
        tags = [tag for tag in self.tags if rng.random() >= dropout]
        if shuffle:
            rng.shuffle(tags)
        return self._join(tags)

    def _join(self, tags: Iterable[str]) -> str:
        return ", ".join(part for part in (self.before, *tags, self.after) if part)


def build_caption(template: str, fields: Mapping[str, str], tags: str, prune: Iterable[str] = ()) -> Caption:
    r"""Fill a caption template.

    Args:
        template: text with [character] [outfit] [style] [pose_tag] and perhaps [tags].
        fields: value of each field; a missing or empty one vanishes with its separator.
        tags: comma-separated tags. `\(` and `\)`, as prompts for A1111 write them, become plain brackets.
        prune: tags that are left out.
    """
    before, _, after = template.partition(_TAGS)
    front, back = _fill(before, fields), _fill(after, fields)
    said = {_fold(word) for word in (*front.split(","), *back.split(","), *prune)}
    kept = [tag for tag in split_tags(tags) if _fold(tag) not in said]
    return Caption(front, tuple(kept), back)


def split_tags(text: str) -> list[str]:
    """Split at commas and line ends; each tag once, in order."""
    plain = text.replace("\\(", "(").replace("\\)", ")")
    tags = (" ".join(tag.split()) for tag in re.split(r"[,\n]", plain))
    return list({_fold(tag): tag for tag in tags if tag}.values())


def _fill(text: str, fields: Mapping[str, str]) -> str:
    filled = (_FIELD.sub(lambda found: fields.get(found[1], ""), segment) for segment in text.split(","))
    return ", ".join(segment for segment in (" ".join(part.split()) for part in filled) if segment)


def _fold(tag: str) -> str:
    return tag.strip().casefold().replace("_", " ")
