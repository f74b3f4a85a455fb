from __future__ import annotations

from charaforge.curation.tagging.rules import TraitRules
from charaforge.curation.tagging.traits import find_traits

ON = TraitRules(prune=True)
SHARES = {"1girl": 1.0, "blue hair": 0.1, "smile": 0.4, "hat": 0.05}


def names(found: dict, character: str = "c") -> list[str]:
    return [trait.tag for trait in found.get(character, [])]


def test_frequent_and_unusual_tags_are_traits() -> None:
    pictures = [
        ("c", ["1girl", "blue hair", *(["smile"] if i < 7 else []), *(["hat"] if i < 8 else [])])
        for i in range(10)
    ]
    found = find_traits(pictures, SHARES, ON)
    assert names(found) == ["blue hair", "hat"]  # 100 % and 80 %; smile has 70 %, 1girl is everywhere
    assert [(t.frequency, t.lift) for t in found["c"]] == [(1.0, 10.0), (0.8, 16.0)]


def test_the_other_characters_of_the_table_are_the_corpus() -> None:
    pictures = [("c", ["blue hair", "uniform"])] * 10 + [("d", ["red hair", "uniform"])] * 20
    found = find_traits(pictures, SHARES, ON)
    assert names(found) == ["blue hair"]
    assert names(found, "d") == []  # ten pictures of others are too few, and nobody counted red hair
    both = find_traits(pictures + [("c", ["blue hair", "uniform"])] * 10, SHARES, ON)
    assert names(both, "d") == ["red hair"]


def test_too_few_pictures_tell_nothing() -> None:
    assert find_traits([("c", ["blue hair"])] * 4, SHARES, ON) == {}
    assert names(find_traits([("c", ["blue hair"])] * 5, SHARES, ON)) == ["blue hair"]


def test_pictures_without_a_character_have_no_traits() -> None:
    assert find_traits([("", ["blue hair"])] * 30, SHARES, ON) == {}


def test_limits_can_be_set_and_tags_kept() -> None:
    pictures = [("c", ["blue hair"] if i < 6 else []) for i in range(10)]
    assert names(find_traits(pictures, SHARES, ON)) == []
    assert names(find_traits(pictures, SHARES, TraitRules(frequency=0.6))) == ["blue hair"]
    assert names(find_traits(pictures, SHARES, TraitRules(frequency=0.6, lift=7))) == []
    assert names(find_traits(pictures, SHARES, TraitRules(frequency=0.6, keep=("blue hair",)))) == []


def test_a_tag_given_twice_counts_once() -> None:
    pictures = [("c", ["blue hair", "blue hair"] if i < 4 else []) for i in range(10)]
    assert names(find_traits(pictures, SHARES, ON)) == []
