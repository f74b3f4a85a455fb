"""Traits: tags that belong to a character, told by how often they occur, not by what they are called.

A tag that stands in nearly all pictures of a character teaches the trigger word nothing where it stays in the
captions: the word for it takes the trait, and the trigger is left with nothing. So tags of at least 80 % of
the character's pictures are left out – unless they are as frequent everywhere ("1girl"): the lift is the
ratio of both shares. The other share comes from the other characters' pictures of the same table, or, where
there are too few, from what the tagger's makers counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from charaforge.curation.tagging.rules import TraitRules

FEWEST_OTHERS = 20
"""With fewer pictures of others, the taggers' own counts are taken."""


@dataclass(frozen=True)
class Trait:
    """A tag that belongs to a character.

    Attributes:
        tag: the tag.
        frequency: share of the character's pictures.
        lift: how many times as frequent as elsewhere.
    """

    tag: str
    frequency: float
    lift: float


def find_traits(
    tagged: Sequence[tuple[str, Sequence[str]]], shares: Mapping[str, float], rules: TraitRules
) -> dict[str, list[Trait]]:
    """Find the traits of every character.

    Args:
        tagged: (character, tags) of every picture; pictures without a character are only compared with.
        shares: tag -> share of pictures in general, where nothing else tells.
        rules: the limits.

    Returns:
        Character -> traits, the most frequent first; characters with fewer than `rules.fewest` pictures are
        absent.
    """
    by_character: dict[str, list[Sequence[str]]] = {}
    for character, tags in tagged:
        by_character.setdefault(character, []).append(tags)
    everywhere = _counts([tags for _, tags in tagged])
    return {
        character: _traits(_counts(own), len(own), everywhere, len(tagged), shares, rules)
        for character, own in by_character.items()
        if character and len(own) >= rules.fewest
    }


def _traits(
    own: Counter[str],
    pictures: int,
    everywhere: Counter[str],
    total: int,
    shares: Mapping[str, float],
    rules: TraitRules,
) -> list[Trait]:
    others = total - pictures
    found = []
    for tag, count in own.items():
        frequency = count / pictures
        if others >= FEWEST_OTHERS:
            share: float | None = (everywhere[tag] - count + 0.5) / (others + 1)
        else:
            share = shares.get(tag)
        if frequency < rules.frequency or tag in rules.keep or not share:
            continue
        if frequency / share >= rules.lift:
            found.append(Trait(tag, round(frequency, 4), round(frequency / share, 2)))
    return sorted(found, key=lambda trait: (-trait.frequency, -trait.lift, trait.tag))


def _counts(pictures: Sequence[Sequence[str]]) -> Counter[str]:
    return Counter(tag for tags in pictures for tag in set(tags))
