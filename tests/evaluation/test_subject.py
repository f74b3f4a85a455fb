"""Reading a character from its table."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from charaforge.errors import NotMeasurableError, UnknownNameError, UsageError
from charaforge.evaluation.subject import load_subject
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.warehouse.layout import Warehouse


def no_tagger(paths: Sequence[Path]) -> tuple[str, ...]:
    raise AssertionError("the notes list the traits")


@pytest.fixture
def table(tmp_path: Path, warehouse: Warehouse) -> Path:
    return draw_character(Character.from_seed(5), tmp_path / "set", 48, warehouse)


def test_a_drawn_character(table: Path, warehouse: Warehouse) -> None:
    character = Character.from_seed(5)
    subject = load_subject(table, "", warehouse, no_tagger)
    assert subject.name == character.trigger
    assert subject.traits == tuple(character.trait_tags())
    assert subject.outfit in {f"{color} {outfit}" for outfit, color in character.outfits}
    assert (len(subject.references), len(subject.calibration)) == (16, 8)
    assert set(subject.references).isdisjoint(subject.calibration)


def test_traits_from_pictures_where_no_notes_are(table: Path, warehouse: Warehouse) -> None:
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("traits: ", ""), encoding="utf-8")
    seen: list[Path] = []

    def tagger(paths: Sequence[Path]) -> tuple[str, ...]:
        seen.extend(paths)
        return ("blue hair",)

    subject = load_subject(table, "", warehouse, tagger)
    assert subject.traits == ("blue hair",)
    assert tuple(seen) == subject.references


def test_missing_references_are_counted(table: Path, warehouse: Warehouse) -> None:
    for path in load_subject(table, "", warehouse, no_tagger).references[:11]:
        path.unlink()
    with pytest.raises(NotMeasurableError, match="5 held-out references") as caught:
        load_subject(table, "", warehouse, no_tagger)
    assert "3 are missing" in caught.value.hint


def test_copies_on_both_sides_of_the_split_are_refused(table: Path, warehouse: Warehouse) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    groups = ["dup_group", *("1" if number in (0, 1) else "" for number in range(len(lines) - 1))]
    leaking = table.with_name("leaking.csv")
    both = [f"{line},{group}" for line, group in zip(lines, groups, strict=True)]
    leaking.write_text("\n".join(both), encoding="utf-8")
    with pytest.raises(NotMeasurableError, match="1 held-out pictures are copies") as caught:
        load_subject(leaking, "", warehouse, no_tagger)
    assert "merge" in caught.value.hint


def test_another_character_is_not_taken(table: Path, warehouse: Warehouse) -> None:
    with pytest.raises(UnknownNameError):
        load_subject(table, "nobody", warehouse, no_tagger)
    mixed = table.with_name("mixed.csv")
    lines = table.read_text(encoding="utf-8").splitlines()
    other = lines[1].replace(Character.from_seed(5).trigger, "other")
    mixed.write_text("\n".join([*lines, other]), encoding="utf-8")
    with pytest.raises(UsageError, match="2 characters"):
        load_subject(mixed, "", warehouse, no_tagger)
