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
from typing import NamedTuple

from charaforge.curation.tagging.rules import FLOOR, TaggerRules, TaggingRules
from charaforge.perception.tag_net import CHARACTER, RATING

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


class Ensemble:
    """Merges what several taggers say of a picture, and keeps what is above the thresholds.

    Args:
        taggers: the first one's rating counts.
        rules: thresholds, calibrations, way of merging.
    """

    def __init__(self, taggers: Sequence[KnownTagger], rules: TaggingRules) -> None:
        self._taggers = taggers
        self._rules = rules
        self._voices: dict[str, tuple[_Voice, ...]] = {}  # by tag

    def merge(self, scores: Scores) -> Merged:
        """Merge what the taggers gave for one picture."""
        general: dict[str, float] = {}
        characters: dict[str, float] = {}
        for tag in {tag for tagger in self._taggers for tag in scores[tagger.name]}:
            voices = self._voices.get(tag) or self._heard(tag)
            if voices[0].category == RATING:
                continue
            told = [scores[voice.tagger].get(tag, FLOOR / 2) for voice in voices]
            if self._given(voices, told):
                group = characters if voices[0].category == CHARACTER else general
                group[tag] = round(_mean(voices, told), 4)
        return Merged(_by_score(general), _by_score(characters), self._rating(scores))

    def _heard(self, tag: str) -> tuple[_Voice, ...]:
        """Return the taggers that know a tag, with what their probabilities mean."""
        knowing = [tagger for tagger in self._taggers if tag in tagger.categories]
        self._voices[tag] = tuple(self._voice(tagger, tag) for tagger in knowing)
        return self._voices[tag]

    def _voice(self, tagger: KnownTagger, tag: str) -> _Voice:
        told = self._rules.taggers.get(tagger.name, TaggerRules())
        limits, category = self._rules.thresholds_of(tagger.name), tagger.categories[tag]
        usual = limits.character if category == CHARACTER else limits.general
        threshold = limits.tags.get(tag, usual)
        slope = 1.0 if told.slope is None else told.slope
        offset = -slope * logit(threshold) if told.offset is None else told.offset
        return _Voice(
            tagger.name, category, threshold, slope, offset, told.weight, calibrated=told.offset is not None
        )

    def _given(self, voices: Sequence[_Voice], told: Sequence[float]) -> bool:
        votes = sum(p > voice.threshold for voice, p in zip(voices, told, strict=True))
        if self._rules.merge == "votes":
            wanted = self._rules.votes
            return votes >= (len(voices) // 2 + 1 if wanted is None else min(wanted, len(voices)))
        if votes in (0, len(voices)) and not any(voice.calibrated for voice in voices):
            return votes > 0  # all on one side of their thresholds, and so is their mean
        return _mean(voices, told) > _CUT

    def _rating(self, scores: Scores) -> str:
        """Return the rating of the first tagger that gives ratings; scales differ and cannot be merged."""
        for tagger in self._taggers:
            ratings = {
                tag: score
                for tag, score in scores[tagger.name].items()
                if tagger.categories.get(tag) == RATING
            }
            if ratings:
                return max(ratings, key=lambda tag: (ratings[tag], tag))
        return ""


class _Voice(NamedTuple):
    """What a tagger's probability of one tag means."""

    tagger: str
    category: int
    threshold: float
    slope: float
    offset: float
    weight: float
    calibrated: bool


def calibrated(probability: float, slope: float, offset: float) -> float:
    """Return Platt's scaling of a probability, 0 to 1."""
    return 1 / (1 + math.exp(-(slope * logit(probability) + offset)))


def logit(probability: float) -> float:
    """Return log(p / (1 - p)), p being kept a millionth away from 0 and 1."""
    kept = min(max(probability, _NEAREST), 1 - _NEAREST)
    return math.log(kept / (1 - kept))


def _mean(voices: Sequence[_Voice], told: Sequence[float]) -> float:
    total = sum(voice.weight for voice in voices)
    pairs = zip(voices, told, strict=True)
    return sum(voice.weight * calibrated(p, voice.slope, voice.offset) for voice, p in pairs) / total


def _by_score(tags: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(tags.items(), key=lambda one: (-one[1], one[0])))
