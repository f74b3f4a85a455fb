from __future__ import annotations

import math

import pytest

from charaforge.config import parse
from charaforge.curation.tagging.ensemble import Ensemble, KnownTagger, Merged, calibrated
from charaforge.curation.tagging.rules import FLOOR, TaggingRules

CATEGORIES = {"blue hair": 0, "smile": 0, "miku": 4, "safe": 9, "explicit": 9}
A, B, C = (KnownTagger(name, CATEGORIES, {}) for name in "abc")
NARROW = KnownTagger("narrow", {"smile": 0}, {})


def rules(**told: object) -> TaggingRules:
    return parse(TaggingRules, told, "test")


def merge(scores: dict[str, dict[str, float]], taggers: list[KnownTagger], told: TaggingRules) -> Merged:
    return Ensemble(taggers, told).merge(scores)


def given(scores: dict[str, dict[str, float]], asked: list[KnownTagger], **told: object) -> set[str]:
    merged = merge(scores, asked, rules(**told))
    return {*merged.general, *merged.characters}


def test_one_tagger_gives_what_is_above_the_threshold_of_its_category() -> None:
    scores = {"a": {"blue hair": 0.36, "smile": 0.35, "miku": 0.84, "safe": 0.6, "explicit": 0.3}}
    merged = merge(scores, [A], rules())
    assert set(merged.general) == {"blue hair"}
    assert merged.characters == {}
    assert merged.rating == "safe"
    assert given({"a": {"miku": 0.86}}, [A]) == {"miku"}


def test_thresholds_are_per_category_tagger_and_tag() -> None:
    scores = {"a": {"blue hair": 0.5, "smile": 0.5, "miku": 0.5}}
    assert given(scores, [A], thresholds={"general": 0.6, "character": 0.4}) == {"miku"}
    own = {"a": {"thresholds": {"general": 0.4, "tags": {"smile": 0.7}}}}
    assert given(scores, [A], thresholds={"general": 0.9}, taggers=own) == {"blue hair"}


def test_the_surest_tag_stands_first() -> None:
    merged = merge({"a": {"blue hair": 0.7, "smile": 0.9}}, [A], rules())
    assert list(merged.general) == ["smile", "blue hair"]


@pytest.mark.parametrize(("votes", "expected"), [(1, True), (2, True), (3, False), (None, True)])
def test_k_of_n(votes: int | None, expected: bool) -> None:
    scores = {"a": {"smile": 0.9}, "b": {"smile": 0.9}, "c": {"smile": 0.1}}
    assert ("smile" in given(scores, [A, B, C], merge="votes", votes=votes)) == expected


def test_who_does_not_know_a_tag_has_no_vote_and_no_share_in_the_mean() -> None:
    scores = {"a": {"blue hair": 0.9}, "narrow": {}}
    assert given(scores, [A, NARROW], merge="votes", votes=2) == {"blue hair"}
    merged = merge(scores, [A, NARROW], rules())
    assert merged.general["blue hair"] == pytest.approx(merge(scores, [A], rules()).general["blue hair"])
    assert given({"a": {}, "narrow": {"smile": 0.6}}, [A, NARROW]) == set()  # a knows it, and did not see it


def test_the_mean_is_that_of_a_second_implementation() -> None:
    scores = {"a": {"smile": 0.6}, "b": {"smile": 0.2}}
    told = {"a": {"weight": 2.0, "slope": 1.5, "offset": 0.2}, "b": {"thresholds": {"general": 0.1}}}

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    first = sigmoid(1.5 * math.log(0.6 / 0.4) + 0.2)
    second = sigmoid(math.log(0.2 / 0.8) - math.log(0.1 / 0.9))
    merged = merge(scores, [A, B], rules(taggers=told))
    assert merged.general["smile"] == pytest.approx((2 * first + second) / 3, abs=1e-4)


def test_a_sparing_tagger_weighs_as_much_as_a_generous_one() -> None:
    told = {"a": {"thresholds": {"general": 0.2}}, "b": {"thresholds": {"general": 0.8}}}
    at_their_thresholds = merge({"a": {"smile": 0.2}, "b": {"smile": 0.8000001}}, [A, B], rules(taggers=told))
    assert at_their_thresholds.general["smile"] == pytest.approx(0.5, abs=1e-3)
    assert given({"a": {"smile": 0.3}, "b": {"smile": 0.75}}, [A, B], taggers=told) == {"smile"}
    assert given({"a": {"smile": 0.15}, "b": {"smile": 0.82}}, [A, B], taggers=told) == set()


def test_calibration_keeps_the_order_and_bears_certainty() -> None:
    values = [calibrated(p, 1.0, 0.0) for p in (0.0, FLOOR, 0.5, 1.0)]
    assert values == sorted(values)
    assert values[2] == pytest.approx(0.5)
    assert 0 < values[0] < values[3] < 1


def test_ratings_come_from_the_first_tagger_that_has_them() -> None:
    scores = {"narrow": {"smile": 0.9}, "b": {"safe": 0.4, "explicit": 0.5}, "a": {"safe": 0.9}}
    assert merge(scores, [NARROW, B, A], rules()).rating == "explicit"
