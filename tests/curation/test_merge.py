import csv
from pathlib import Path
from typing import Any

import pytest

from charaforge.curation.dataset import Dataset, dataset_name, write_table
from charaforge.curation.merge import SIDE_COLUMNS, Found, is_kept, merge, stored_path
from charaforge.curation.outfits import is_garment, outfits
from charaforge.curation.pose_tags import disagreement, pose_by_tags
from charaforge.curation.sources import Import, Imported, Told
from charaforge.curation.table import read_parquet, write_stage
from charaforge.errors import UsageError
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import COLUMNS, noted_traits

ROOT = Path("/pictures")
Rows = dict[str, dict[str, Any]]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path)


def _pictures(count: int, **told: str) -> list[Imported]:
    return [Imported(ROOT / f"{index}.png", Told("mai", **told)) for index in range(count)]


def _look(count: int) -> Rows:
    return {
        f"/pictures/{index}.png": {"sha256": f"{index:064x}", "error": "", "width": 512, "height": 768}
        for index in range(count)
    }


def _found(count: int, **stages: Any) -> Found:
    every: dict[str, Any] = {"look": _look(count), "dedupe": {}, "tag": {}, "pose": {}, "traits": {}}
    return Found(**(every | stages))


def _rows(stage: Rows) -> Rows:
    return {f"/pictures/{name}.png": {"error": "", **row} for name, row in stage.items()}


def test_stages_become_the_nine_columns_and_more(warehouse: Warehouse) -> None:
    found = _found(
        1,
        dedupe=_rows({"0": {"phash": "8f00", "dup_group": "", "dup_of": "", "dup_dist": None}}),
        tag=_rows({"0": {"tags": "smile, arms up", "rating": "general", "tag_scores": '{"smile":0.9}'}}),
        pose=_rows({"0": {"pose_tag": "arms up", "pose_score": 0.8, "keypoints": "[]", "people": 1}}),
        traits={"mai": ["blue hair", "red eyes"]},
    )
    (row,) = merge(_pictures(1, outfit="dress", style="flat", source="post 1"), found, warehouse)
    assert [row[name] for name in COLUMNS] == [
        "/pictures/0.png", "mai", "dress", "arms up", "flat", "smile, arms up", "post 1", "train",
        "traits: blue hair, red eyes",
    ]  # fmt: skip
    assert (row["w"], row["h"], row["phash"], row["rating"], row["people"]) == (
        512,
        768,
        "8f00",
        "general",
        1,
    )
    assert set(SIDE_COLUMNS) <= set(row)


def test_copies_and_errors_have_rows_and_no_split(warehouse: Warehouse) -> None:
    pictures = [
        *_pictures(30),
        Imported(ROOT / "loop.png", Told("mai"), error="a link that leads in circles"),
    ]
    look = _look(30)
    look["/pictures/3.png"] = {"sha256": "", "error": "broken or cut off: x"}
    found = _found(
        30,
        look=look,
        dedupe=_rows({"1": {"dup_group": "g", "dup_of": "/pictures/0.png"}, "0": {"dup_group": "g"}}),
        pose=_rows({"2": {"error": "pose failed: x"}, "4": {"error": "out of order"}}),
    )
    rows = merge(pictures, found, warehouse)
    left_out = {row["image_path"]: row["error"] for row in rows if not row["split"]}
    assert left_out == {
        "/pictures/1.png": "",
        "/pictures/2.png": "pose failed: x",
        "/pictures/3.png": "broken or cut off: x",
        "/pictures/4.png": "pose: out of order",
        "/pictures/loop.png": "a link that leads in circles",
    }
    assert [is_kept(row) for row in rows] == [bool(row["split"]) for row in rows]
    assert {"train", "ref", "calib", "val"} == {row["split"] for row in rows} - {""}


def test_groups_and_sources_are_not_torn(warehouse: Warehouse) -> None:
    pictures = [Imported(ROOT / f"{i}.png", Told("mai", source=f"post {i // 5}")) for i in range(100)]
    dedupe = _rows({str(i): {"dup_group": f"g{i % 50}" if i in (7, 57) else ""} for i in range(100)})
    rows = merge(pictures, _found(100, dedupe=dedupe), warehouse)
    for post in {row["source"] for row in rows}:
        assert len({row["split"] for row in rows if row["source"] == post}) == 1
    assert rows[7]["split"] == rows[57]["split"]
    assert len({row["split"] for row in rows}) == 4


def test_a_source_of_all_pictures_is_split_up(warehouse: Warehouse) -> None:
    rows = merge(_pictures(40, source="the film"), _found(40), warehouse)
    assert {row["split"] for row in rows} == {"train", "ref", "calib", "val"}


def test_poses_that_differ_are_noted(warehouse: Warehouse) -> None:
    tags = _rows({"0": {"tags": "smile, sitting"}, "1": {"tags": "waving"}, "2": {"tags": "smile"}})
    pose = _rows({"0": {"pose_tag": "standing"}, "1": {"pose_tag": "unknown"}, "2": {"pose_tag": "unknown"}})
    rows = merge(_pictures(3), _found(3, tag=tags, pose=pose), warehouse)
    assert [(row["pose_tag"], row["notes"]) for row in rows] == [
        ("standing", "pose: standing by key points, sitting by tags"),
        ("waving", "pose: waving by tags alone"),
        ("unknown", ""),
    ]


def test_notes_keep_traits_readable(warehouse: Warehouse) -> None:
    look = _look(1)
    look["/pictures/0.png"]["oddities"] = "extension says png, content is jpeg"
    (row,) = merge(_pictures(1), _found(1, look=look, traits={"mai": ["blue hair"]}), warehouse)
    assert row["notes"] == "traits: blue hair; extension says png, content is jpeg"
    assert noted_traits(row["notes"]) == ("blue hair",)


def test_captions_stand_in_where_nobody_tagged(warehouse: Warehouse) -> None:
    pictures = [Imported(ROOT / "0.png", Told("mai"), "a girl, smiling")]
    assert merge(pictures, _found(1), warehouse)[0]["tags"] == "a girl, smiling"
    tag = _rows({"0": {"tags": ""}})
    assert merge(pictures, _found(1, tag=tag), warehouse)[0]["tags"] == ""


def test_outfits_come_from_garments_that_several_wear(warehouse: Warehouse) -> None:
    tags = ["smile, red dress, hat", "red dress", "blue hoodie, red dress", "dress shirt", "red dresser"]
    tag = _rows({str(index): {"tags": text} for index, text in enumerate(tags)})
    rows = merge(_pictures(5), _found(5, tag=tag), warehouse)
    assert [row["outfit"] for row in rows] == ["red dress"] * 3 + ["", ""]
    assert is_garment("dress shirt")
    assert not is_garment("dressing room")
    assert outfits([]) == []


def test_paths_inside_the_warehouse_are_relative_and_links_keep_their_name(warehouse: Warehouse) -> None:
    folder = warehouse.raw / "mai"
    folder.mkdir(parents=True)
    (folder / "a.png").symlink_to("/elsewhere/b.png")
    assert stored_path(folder / "a.png", warehouse) == "datasets/raw/mai/a.png"
    assert stored_path(Path("/x/y.png"), warehouse) == "/x/y.png"


@pytest.mark.parametrize(
    ("pose", "tags", "other"),
    [
        ("standing", ["sitting"], "sitting"),
        ("standing", ["arms up"], ""),
        ("arms up", ["standing", "arms up"], ""),
        ("arms up", ["waving"], "waving"),
        ("sitting", ["seiza"], ""),
        ("waving", ["raised hand"], ""),
        ("unknown", ["sitting"], ""),
        ("from behind", ["sitting"], ""),
    ],
)
def test_disagreement_needs_the_same_subject(pose: str, tags: list[str], other: str) -> None:
    assert disagreement(pose, tags) == other


def test_a_pose_by_tags_prefers_what_is_special() -> None:
    assert pose_by_tags(["smile", "standing", "arms up"]) == "arms up"
    assert pose_by_tags(["standing"]) == "standing"
    assert pose_by_tags(["smile"]) == ""


def test_the_table_and_its_csv_say_the_same_and_splits_stay(warehouse: Warehouse) -> None:
    dataset = Dataset("mai", warehouse)
    rows = {Path(path): row for path, row in _look(40).items()}
    write_stage(dataset.folder, "look", rows)
    told = write_table(dataset, Import(_pictures(40), []))
    first = read_parquet(dataset.table)
    with dataset.table.with_suffix(".csv").open(newline="") as stream:
        flat = list(csv.DictReader(stream))
    assert [row["image_path"] for row in flat] == [row["image_path"] for row in first]
    assert [row["split"] for row in flat] == [row["split"] for row in first]
    assert list(flat[0])[:9] == list(COLUMNS)
    assert (
        told["splits"] == {"train": 27, "ref": 8, "calib": 4, "val": 2} or sum(told["splits"].values()) == 40
    )
    write_stage(dataset.folder, "look", {Path(path): row for path, row in _look(60).items()})
    write_table(dataset, Import(_pictures(60), []))
    assert [row["split"] for row in read_parquet(dataset.table)[:40]] == [row["split"] for row in first]


def test_names_of_datasets_are_file_names() -> None:
    assert dataset_name("Mai Sakura-jima") == "Mai_Sakura-jima"
    assert dataset_name("mai", "../other") == "other"
    with pytest.raises(UsageError, match="--name"):
        dataset_name("../..")
