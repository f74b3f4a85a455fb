r"""Captions: template words first, then tags; only the tags are shuffled and dropped.

A caption is the template's words, with empty fields and their separators removed, then ", ", then the tags,
unless the template itself says where the [tags] stand. The first `keep_tokens` tags keep their place.

Brackets are part of a tag's name, `name (series)`, unless captions are weighted: then `(tag:1.2)` weighs a
tag, as in prompts, and a bracket of a name is written `\(`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_FIELD = re.compile(r"\[(character|outfit|style|pose_tag)\]")
_TAGS = "[tags]"
_BRACKET = re.compile(r"\\([()])")
_WEIGHTED = re.compile(r"^\(+(.*?)(?::\s*[\d.]+)?\)+$")


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

    def variant(self, rng: random.Random, *, shuffle: bool, dropout: float, keep: int = 0) -> str:
        """Return the caption with its tags shuffled, each left out with probability `dropout`.

        Args:
            rng: decides.
            shuffle: whether tags change their order.
            dropout: probability of each tag to be left out.
            keep: number of first tags that are neither moved nor left out.
        """
        tags = [tag for tag in self.tags[keep:] if rng.random() >= dropout]
        if shuffle:
            rng.shuffle(tags)
        return self._join((*self.tags[:keep], *tags))

    def _join(self, tags: Iterable[str]) -> str:
        return ", ".join(part for part in (self.before, *tags, self.after) if part)


def build_caption(
    template: str, fields: Mapping[str, str], tags: str, prune: Iterable[str] = (), *, weighted: bool = False
) -> Caption:
    r"""Fill a caption template.

    Args:
        template: text with [character] [outfit] [style] [pose_tag] and perhaps [tags].
        fields: value of each field; a missing or empty one vanishes with its separator.
        tags: comma-separated tags. `\(` and `\)`, as prompts for A1111 write them, become plain brackets
            unless captions are weighted.
        prune: tags that are left out.
        weighted: whether `(tag:1.2)` weighs a tag.
    """
    before, _, after = template.partition(_TAGS)
    front, back = _fill(before, fields), _fill(after, fields)
    said = {_fold(word, weighted) for word in (*front.split(","), *back.split(","), *prune)}
    kept = [tag for tag in split_tags(tags, weighted=weighted) if _fold(tag, weighted) not in said]
    return Caption(front, tuple(kept), back)


def split_tags(text: str, *, weighted: bool = False) -> list[str]:
    """Split at commas and line ends; each tag once, in order. Commas inside weighted brackets split not."""
    plain = text if weighted else _BRACKET.sub(r"\1", text)
    parts = _outside_brackets(plain) if weighted else re.split(r"[,\n]", plain)
    tags = (" ".join(tag.split()) for tag in parts)
    return list({_fold(tag, weighted): tag for tag in tags if tag}.values())


def _outside_brackets(text: str) -> Iterator[str]:
    """Yield the parts between commas and line ends that stand in no round or square bracket."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        if letter in "()[]" and text[place - 1 : place] != "\\":
            depth = max(depth + (1 if letter in "([" else -1), 0)
        elif letter == "\n" or (letter == "," and depth == 0):
            yield text[start:place]
            depth, start = 0, place + 1
    yield text[start:]


def _fill(text: str, fields: Mapping[str, str]) -> str:
    filled = (_FIELD.sub(lambda found: fields.get(found[1], ""), segment) for segment in text.split(","))
    return ", ".join(segment for segment in (" ".join(part.split()) for part in filled) if segment)


def _fold(tag: str, weighted: bool) -> str:
    """Return a tag as it is compared: whatever its case, underscores and weight."""
    plain = tag.strip()
    if weighted:
        found = _WEIGHTED.match(plain)
        plain = _BRACKET.sub(r"\1", found[1] if found else plain)
    return plain.strip().casefold().replace("_", " ")
