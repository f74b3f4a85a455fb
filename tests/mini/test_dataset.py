"""Drawn datasets: pictures, captions and the table that evaluation and training read."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from charaforge.cli.main import main
from charaforge.errors import UsageError
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character, draw_world
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import COLUMNS


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def drawn(tmp_path: Path, warehouse: Warehouse) -> Path:
    return draw_character(Character.from_seed(5), tmp_path / "set", 48, warehouse)


def test_splits_are_24_16_8(drawn: Path) -> None:
    rows = rows_of(drawn)
    assert tuple(rows[0]) == COLUMNS
    assert Counter(row["split"] for row in rows) == {"train": 24, "ref": 16, "calib": 8}


def test_pictures_and_captions_lie_side_by_side(drawn: Path) -> None:
    character = Character.from_seed(5)
    for row in rows_of(drawn):
        picture = Path(row["image_path"])
        with Image.open(picture) as opened:
            assert (opened.size, opened.mode) == ((128, 128), "RGB")
        caption = picture.with_suffix(".txt").read_text(encoding="utf-8").strip()
        assert caption == f"{character.trigger}, {row['tags']}"


def test_tags_leave_out_what_the_trigger_stands_for(drawn: Path) -> None:
    traits = set(Character.from_seed(5).trait_tags())
    for row in rows_of(drawn):
        assert traits.isdisjoint(row["tags"].split(", "))
        assert row["notes"] == "traits: " + ", ".join(Character.from_seed(5).trait_tags())
        assert row["pose_tag"] in row["tags"]
        assert row["outfit"] in row["tags"]


def test_no_picture_is_drawn_twice(drawn: Path) -> None:
    contents = [path.read_bytes() for path in drawn.parent.glob("*.png")]
    assert len(set(contents)) == len(contents) == 48


def test_fewer_pictures_are_the_first_of_more(tmp_path: Path, warehouse: Warehouse, drawn: Path) -> None:
    few = draw_character(Character.from_seed(5), tmp_path / "few", 3, warehouse)
    assert [(few.parent / f"000{i}.png").read_bytes() for i in (1, 2, 3)] == [
        (drawn.parent / f"000{i}.png").read_bytes() for i in (1, 2, 3)
    ]


def test_paths_inside_the_warehouse_are_relative(warehouse: Warehouse) -> None:
    table = draw_character(Character.from_seed(2), warehouse.raw / "two", 2, warehouse)
    assert rows_of(table)[0]["image_path"] == "datasets/raw/two/0001.png"


def test_world_pictures_have_no_trigger(tmp_path: Path, warehouse: Warehouse) -> None:
    rows = rows_of(draw_world(3, tmp_path / "world", 12, warehouse))
    assert {row["character"] for row in rows} == {""}
    assert all("hair" in row["tags"] for row in rows)


@pytest.mark.parametrize(
    ("count", "side", "word"), [(0, 128, "at least 1"), (4, 64, "128 to 1024"), (4, 2048, "128 to 1024")]
)
def test_what_cannot_be_drawn_is_said(
    tmp_path: Path, warehouse: Warehouse, count: int, side: int, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        draw_character(Character.from_seed(1), tmp_path, count, warehouse, side)


def test_the_command_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    assert main(["mini", "draw", "--character", "9", "--count", "2", "--out", str(out), "--size", "256"]) == 0
    assert str(out / "metadata.csv") in capsys.readouterr().out
    with Image.open(out / "0002.png") as opened:
        assert opened.size == (256, 256)


def test_the_command_wants_a_subject(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["mini", "draw", "--out", str(tmp_path)])
    assert stopped.value.code == 2
