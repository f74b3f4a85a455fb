"""Several taggers' probabilities merged into one: by their calibrated mean, or by k of n votes.

A tagger's probability p is calibrated to sigmoid(slope * logit(p) + offset), Platt's scaling; without a
calibration the slope is 1 and the offset such that its threshold becomes 0.5. So a tagger that is sparing
with its probabilities weighs as much as one that is generous, and for a single tagger the mean is above 0.5
exactly where p is above the threshold. A tagger that does not know a tag has no say in it; one that knows it
and gave less than the floor says half the floor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from charaforge.curation.tagging.rules import FLOOR, TaggingRules
from charaforge.perception.tag_net import CHARACTER, GENERAL, RATING

_CUT = 0.5
_NEAREST = 1e-6

Scores = Mapping[str, Mapping[str, float]]
"""Tagger -> tag -> probability."""


@dataclass(frozen=True)
class KnownTagger:
    """What a tagger is able to say.

    Attributes:
        name: its registry name.
        categories: tag -> Danbooru category.
        shares: tag -> share of pictures that its makers counted it in, where they told.
    """

    name: str
    categories: Mapping[str, int]
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Merged:
    """What all taggers together say of a picture.

    Attributes:
        general: tags that are given, the surest first, with their merged score.
        characters: names of characters, likewise.
        rating: the most probable rating, or "".
    """

    general: dict[str, float]
    characters: dict[str, float]
    rating: str


def merge(scores: Scores, taggers: Sequence[KnownTagger], rules: TaggingRules) -> Merged:
    """Merge what the taggers gave for one picture and keep what is above the thresholds."""
    seen = {tag for tagger in taggers for tag in scores[tagger.name]}
    given: dict[int, dict[str, float]] = {GENERAL: {}, CHARACTER: {}}
    for tag in seen:
        knowing = [tagger for tagger in taggers if tag in tagger.categories]
        category = knowing[0].categories[tag]
        if category != RATING:
            opinions = [_Opinion(tagger, tag, scores[tagger.name], rules) for tagger in knowing]
            if _given(opinions, rules):
                given.setdefault(category, {})[tag] = round(_mean(opinions), 4)
    characters = given.pop(CHARACTER)
    general = {tag: score for tags in given.values() for tag, score in tags.items()}
    return Merged(_by_score(general), _by_score(characters), _rating(scores, taggers))


def _by_score(tags: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(tags.items(), key=lambda one: (-one[1], one[0])))


def calibrated(probability: float, slope: float, offset: float) -> float:
    """Return Platt's scaling of a probability, 0 to 1."""
    return 1 / (1 + math.exp(-(slope * logit(probability) + offset)))


def logit(probability: float) -> float:
    """Return log(p / (1 - p)), p being kept a millionth away from 0 and 1."""
    kept = min(max(probability, _NEAREST), 1 - _NEAREST)
    return math.log(kept / (1 - kept))


class _Opinion:
    """What one tagger says of one tag."""

    def __init__(
        self, tagger: KnownTagger, tag: str, scores: Mapping[str, float], rules: TaggingRules
    ) -> None:
        told, limits = rules.taggers.get(tagger.name), rules.thresholds_of(tagger.name)
        character = tagger.categories[tag] == CHARACTER
        threshold = limits.tags.get(tag, limits.character if character else limits.general)
        probability = scores.get(tag, FLOOR / 2)
        slope = told.slope if told and told.slope is not None else 1.0
        own = told.offset if told and told.offset is not None else -slope * logit(threshold)
        self.weight = told.weight if told else 1.0
        self.yes = probability > threshold
        self.score = calibrated(probability, slope, own)
        self.calibrated = told is not None and told.offset is not None


def _given(opinions: Sequence[_Opinion], rules: TaggingRules) -> bool:
    if rules.merge == "votes":
        needed = len(opinions) // 2 + 1 if rules.votes is None else min(rules.votes, len(opinions))
        return sum(opinion.yes for opinion in opinions) >= needed
    if len(opinions) == 1 and not opinions[0].calibrated:
        return opinions[0].yes
    return _mean(opinions) > _CUT


def _mean(opinions: Sequence[_Opinion]) -> float:
    total = sum(opinion.weight for opinion in opinions)
    return sum(opinion.weight * opinion.score for opinion in opinions) / total


def _rating(scores: Scores, taggers: Sequence[KnownTagger]) -> str:
    """Return the rating of the first tagger that gives ratings; scales differ and cannot be merged."""
    for tagger in taggers:
        ratings = {
            tag: score for tag, score in scores[tagger.name].items() if tagger.categories.get(tag) == RATING
        }
        if ratings:
            return max(ratings, key=lambda tag: (ratings[tag], tag))
    return ""
