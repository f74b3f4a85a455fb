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
