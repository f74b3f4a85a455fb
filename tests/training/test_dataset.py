from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from charaforge.errors import DatasetError, UnknownNameError, UsageError
from charaforge.training.config import TrainingConfig
from charaforge.training.dataset import Dataset, load_dataset
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, write_picture

COLUMNS = ("image_path", "character", "outfit", "pose_tag", "style", "tags", "source", "split", "notes")


def load(config: TrainingConfig, warehouse: Warehouse) -> Dataset:
    return load_dataset(config, warehouse, resolution=64, multiple=16)


def rows_of(pictures: Path) -> list[dict[str, str]]:
    """One row per picture of the folder: six train, one val, one ref."""
    splits = ["train"] * 6 + ["val", "ref"]
    empty = dict.fromkeys(COLUMNS, "")
    return [
        empty
        | {"image_path": str(p), "character": "zxq", "tags": "girl, smile", "outfit": "hoodie", "split": s}
        for p, s in zip(sorted(pictures.glob("*.png")), splits, strict=True)
    ]


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_folder_gives_pictures_captions_and_some_held_out(make_config: MakeConfig, tiny: Warehouse) -> None:
    dataset = load(make_config(), tiny)
    assert (len(dataset.train), len(dataset.held_out), dataset.left_out) == (7, 1, ())
    assert dataset.train[0].caption.text() == "zxq, girl, blue hair, smile, tag0"
    sizes = {s.path.name: s.size for s in (*dataset.train, *dataset.held_out)}
    assert sizes["0.png"] == (64, 64)
    assert sizes["3.png"] == (48, 80)


def test_what_is_held_out_depends_on_the_pictures_alone(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path
) -> None:
    held_out = load(make_config(), tiny).held_out[0].sha256
    for number, path in enumerate(sorted(pictures.glob("*.png"))):
        for file in (path, path.with_suffix(".txt")):
            file.rename(pictures / f"renamed{9 - number}{file.suffix}")
    assert load(make_config(), tiny).held_out[0].sha256 == held_out


def test_faults_are_listed_and_skipped(make_config: MakeConfig, tiny: Warehouse, pictures: Path) -> None:
    (pictures / "0.txt").unlink()
    (pictures / "1.png").unlink()
    (pictures / "2.png").write_bytes(b"broken")
    (pictures / "4.txt").write_text(" \n", encoding="utf-8")
    shutil.copy(pictures / "5.png", pictures / "copy.png")
    shutil.copy(pictures / "5.txt", pictures / "copy.txt")
    dataset = load(make_config(), tiny)
    told = "\n".join(map(str, dataset.left_out))
    assert "0.png: no caption (0.txt is missing)" in told
    assert "1.txt: a caption without a picture" in told
    assert "2.png: is not a picture" in told
    assert "4.png: its caption file 4.txt is empty" in told
    assert "copy.png: the same file as" in told
    assert len(dataset.train) + len(dataset.held_out) == 4


def test_nothing_left_is_refused_with_every_reason(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path
) -> None:
    for path in pictures.glob("*.txt"):
        path.unlink()
    with pytest.raises(DatasetError) as caught:
        load(make_config(), tiny)
    assert str(caught.value).count("no caption") == 8
    assert "NAME.txt beside it" in caught.value.hint


def test_an_empty_folder_and_no_folder_are_refused(
    make_config: MakeConfig, tiny: Warehouse, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="it is empty"):
        load(make_config(train_data_dir=tmp_path / "empty"), tiny)
    with pytest.raises(UsageError, match="there is no folder"):
        load(make_config(train_data_dir=tmp_path / "nowhere"), tiny)


def test_captions_in_kohyas_manner_are_read(make_config: MakeConfig, tiny: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "kohya" / "10_zxq"
    folder.mkdir(parents=True)
    write_picture(folder / "a.b.png", 1)
    (folder / "a.b.caption").write_text("zxq, smile", encoding="utf-8-sig")
    dataset = load(make_config(train_data_dir=tmp_path / "kohya"), tiny)
    assert [s.caption.text() for s in dataset.train] == ["zxq, smile"]


def table_config(make_config: MakeConfig, table: Path, **changes: object) -> TrainingConfig:
    return make_config(dataset_meta=table, train_data_dir=None, character="", **changes)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_gives_its_train_and_val_rows(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path, tmp_path: Path, kind: str
) -> None:
    table = tmp_path / f"meta.{kind}"
    if kind == "csv":
        write_csv(table, rows_of(pictures))
    else:
        parquet.write_table(pa.Table.from_pylist(rows_of(pictures)), table)
    dataset = load(table_config(make_config, table, caption_template="[style] [character] [outfit]"), tiny)
    assert (len(dataset.train), len(dataset.held_out)) == (6, 1)
    assert dataset.train[0].caption.text() == "zxq hoodie, girl, smile"
    assert dataset.character == "zxq"


def test_paths_may_be_relative_to_the_warehouse_or_to_the_table(
    make_config: MakeConfig, warehouse: Warehouse, pictures: Path
) -> None:
    inside = warehouse.raw / "zxq"
    shutil.copytree(pictures, inside)
    rows = rows_of(inside)
    rows[0]["image_path"] = warehouse.portable(inside / "0.png")
    rows[1]["image_path"] = "1.png"
    table = write_csv(inside / "metadata.csv", rows)
    names = [s.path.name for s in load(table_config(make_config, table), warehouse).train]
    assert names[:2] == ["0.png", "1.png"]


def test_a_folder_with_a_table_is_read_by_its_table(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path
) -> None:
    write_csv(pictures / "metadata.csv", rows_of(pictures))
    assert len(load(make_config(), tiny).train) == 6


def test_wrong_columns_characters_and_formats_are_refused(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path, tmp_path: Path
) -> None:
    rows = rows_of(pictures)
    table = write_csv(tmp_path / "meta.csv", rows)
    with pytest.raises(UnknownNameError, match="did you mean 'tags'"):
        load(table_config(make_config, table, tag_field="tag"), tiny)
    with pytest.raises(UnknownNameError, match="did you mean 'zxq'"):
        load(make_config(dataset_meta=table, train_data_dir=None, character="zqx"), tiny)
    rows[3]["character"] = "other"
    with pytest.raises(DatasetError, match="mixes 2 characters: other, zxq"):
        load(table_config(make_config, write_csv(table, rows)), tiny)
    with pytest.raises(UsageError, match="neither CSV nor Parquet"):
        load(table_config(make_config, pictures / "0.txt"), tiny)
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="not a Parquet file"):
        load(table_config(make_config, tmp_path / "bad.parquet"), tiny)


def test_one_character_of_a_mixed_table_can_be_chosen(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path, tmp_path: Path
) -> None:
    rows = rows_of(pictures)
    rows[0]["character"], rows[1]["split"], rows[2]["image_path"] = "other", "nonsense", "gone.png"
    table = write_csv(tmp_path / "meta.csv", rows)
    dataset = load(make_config(dataset_meta=table, train_data_dir=None, character="zxq"), tiny)
    assert len(dataset.train) == 3
    told = "\n".join(map(str, dataset.left_out))
    assert "row 3 has split 'nonsense'" in told
    assert "gone.png: cannot be read: No such file" in told


def test_what_curation_left_out_is_not_trained_on(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path, tmp_path: Path
) -> None:
    rows = [row | {"error": "", "dup_of": "", "pose_tag": "standing"} for row in rows_of(pictures)]
    rows[0] |= {"dup_of": rows[1]["image_path"], "split": ""}
    rows[1] |= {"error": "broken or cut off", "split": ""}
    rows[2] |= {"pose_tag": "unknown"}
    table = write_csv(tmp_path / "t.csv", rows)
    config = make_config(dataset_meta=table, train_data_dir=None, caption_template="[character], [pose_tag]")
    dataset = load(config, tiny)
    assert (len(dataset.train), len(dataset.held_out)) == (4, 1)
    told = [str(one) for one in dataset.left_out]
    assert told == [f"{table}: 2 rows are copies of other pictures or have an error"]
    captions = [sample.caption.text() for sample in dataset.train]
    assert captions == ["zxq, girl, smile"] + ["zxq, standing, girl, smile"] * 3
