from __future__ import annotations

import random

import pytest

from charaforge.training.captions import build_caption, split_tags

MISSION = "[style] [character] [outfit] [pose_tag], anime style"
FIELDS = {"style": "sketch", "character": "zxq", "outfit": "red dress", "pose_tag": "sitting"}


@pytest.mark.parametrize(
    ("template", "fields", "text"),
    [
        (MISSION, FIELDS, "sketch zxq red dress sitting, anime style, smile"),
        (MISSION, {"character": "zxq"}, "zxq, anime style, smile"),
        (MISSION, {}, "anime style, smile"),
        ("[style], [character]", {"character": "zxq"}, "zxq, smile"),
        ("[character], [tags], best quality", FIELDS, "zxq, smile, best quality"),
        ("[tags]", FIELDS, "smile"),
        ("", {}, "smile"),
    ],
)
def test_empty_fields_vanish_with_their_separators(template: str, fields: dict[str, str], text: str) -> None:
    assert build_caption(template, fields, "smile").text() == text


def test_tags_are_split_cleaned_and_each_said_once() -> None:
    assert split_tags(" a ,b,\nA, ,c  d, e \\(f\\)") == ["A", "b", "c d", "e (f)"]


def test_tags_that_the_template_says_are_not_said_again() -> None:
    assert build_caption("1girl, [character]", FIELDS, "zxq, 1girl, smile").text() == "1girl, zxq, smile"


def test_pruned_tags_are_left_out_whatever_their_spelling() -> None:
    caption = build_caption("[character]", FIELDS, "Blue_Hair, smile", prune=["blue hair"])
    assert caption.text() == "zxq, smile"


def test_shuffle_and_dropout_act_on_the_tags_alone() -> None:
    tags = [f"t{n}" for n in range(40)]
    caption = build_caption("first, [tags], last", {}, ", ".join(tags))
    words = caption.variant(random.Random(1), shuffle=True, dropout=0.5).split(", ")
    assert (words[0], words[-1]) == ("first", "last")
    kept = words[1:-1]
    assert 8 < len(kept) < 32
    assert set(kept) < set(tags)
    assert kept != sorted(kept, key=tags.index)


def test_without_shuffle_and_dropout_a_variant_is_the_caption() -> None:
    caption = build_caption("[character]", FIELDS, "a, b, c")
    assert caption.variant(random.Random(1), shuffle=False, dropout=0.0) == caption.text()


def test_the_first_tags_keep_their_place_and_are_never_dropped() -> None:
    caption = build_caption("", {}, "zxq, hoodie, " + ", ".join(f"t{n}" for n in range(20)))
    for seed in range(20):
        words = caption.variant(random.Random(seed), shuffle=True, dropout=0.9, keep=2).split(", ")
        assert words[:2] == ["zxq", "hoodie"]
        assert len(words) < 22


def test_weighted_tags_stay_whole_and_are_told_apart_by_their_words() -> None:
    text = r"(smile:1.2), (blue hair, long hair:0.8), name \(series\), ((open mouth)), smile"
    tags = split_tags(text, weighted=True)
    assert tags == ["smile", "(blue hair, long hair:0.8)", r"name \(series\)", "((open mouth))"]
    caption = build_caption("[character]", FIELDS, "(zxq:1.3), (smile:1.1)", ["name (series)"], weighted=True)
    assert caption.text() == "zxq, (smile:1.1)"


def test_brackets_of_names_are_plain_where_tags_are_not_weighted() -> None:
    assert split_tags(r"name \(series\), (smile:1.2)") == ["name (series)", "(smile:1.2)"]
