from __future__ import annotations

import json
from pathlib import Path

import pytest

from charaforge.curation.tagging.vocabulary import Vocabulary, canonical_scores, endings, load_vocabulary
from charaforge.errors import ConfigError, UsageError

EMPTY = Vocabulary({}, {})


@pytest.mark.parametrize(
    ("longer", "tag"),
    [
        ("very long hair", "long hair"),
        ("hair bow", "bow"),
        ("blue hoodie", "hoodie"),
        ("side ponytail", "ponytail"),
    ],
)
def test_a_tag_is_said_by_one_that_ends_with_its_words(longer: str, tag: str) -> None:
    assert tag in endings(longer)
    assert EMPTY.without_implied([tag, longer]) == [longer]
    assert EMPTY.without_implied([longer, tag]) == [longer]


@pytest.mark.parametrize(
    ("longer", "tag"),
    [
        ("ponytail", "tail"),  # the substrings that others drop
        ("hatsune miku", "hat"),
        ("rainbow", "bow"),
        ("landscape", "cape"),
        ("earrings", "ring"),
        ("cat ears", "cat"),  # whole words, but not what is shown
        ("hair bow", "hair"),
        ("hair over one eye", "eye"),
        ("no hat", "hat"),
        ("fake animal ears", "animal ears"),
        ("blue hair", "blue hair"),
    ],
)
def test_other_tags_are_not(longer: str, tag: str) -> None:
    assert tag not in endings(longer)
    assert tag in EMPTY.without_implied([longer, tag])


def test_implications_go_over_several_steps() -> None:
    known = Vocabulary({}, {"a": ("b",), "b": ("c", "d")})
    assert known.said("a") == {"b", "c", "d"}
    assert known.said("big a") == {"a", "b", "c", "d"}  # words first, then the table
    assert known.without_implied(["d", "a", "x", "b"]) == ["a", "x"]


def test_of_a_circle_the_first_stays() -> None:
    known = Vocabulary({"p": "q", "q": "p"}, {"a": ("b",), "b": ("c",), "c": ("a",)})
    assert known.without_implied(["b", "c", "a"]) == ["b"]
    assert known.canonical("p") in ("p", "q")


def test_aliases_are_resolved_with_the_higher_score() -> None:
    known = Vocabulary({"twin tails": "twintails", "bunches": "twin tails"}, {})
    assert canonical_scores({"bunches": 0.4, "twintails": 0.7, "twin tails": 0.9}, known) == {
        "twintails": 0.9
    }


def test_our_own_table_holds_together() -> None:
    ours = load_vocabulary()
    assert ours.without_implied(["animal ears", "cat ears", "smile", "grin"]) == ["cat ears", "grin"]
    assert not set(ours.aliases) & set(ours.aliases.values())
    assert not [tag for tag in ours.implications if any(tag in ours.said(told) for told in ours.said(tag))]
    assert all(ours.canonical(tag) == tag for told in ours.implications.values() for tag in told)


def test_a_users_file_is_put_on_top(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(
        json.dumps({"aliases": {"blue_locks": "blue_hair"}, "implications": {"kimono": ["japanese_clothes"]}})
    )
    known = load_vocabulary(own)
    assert known.canonical("blue locks") == "blue hair"
    assert known.without_implied(["japanese clothes", "kimono", "hat", "beret"]) == ["kimono", "beret"]


def test_danbooru_exports_are_read(tmp_path: Path) -> None:
    own = tmp_path / "tag_implications.csv"
    own.write_text("antecedent_name,consequent_name,status\nkatana,sword,active\nkatana,weapon,active\n")
    assert load_vocabulary(own).said("katana") == {"sword", "weapon"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[]", "not a mapping"),
        ("a.json", '{"alias": {}}', "unknown key 'alias'"),
        ("a.json", '{"implications": {"a": "b"}}', "implications: "),
        ("a.csv", "a,b\n1,2\n", "it needs the columns antecedent_name, consequent_name"),
    ],
)
def test_files_of_another_format_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_vocabulary(tmp_path / name)
    with pytest.raises(UsageError, match="cannot read"):
        load_vocabulary(tmp_path / "absent.json")
