"""What was trained on is no reference, whoever says so: the table, the LoRA's own folder, or the bytes."""

import json
import shutil
from pathlib import Path

import pytest

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.apart import also_trained, check_apart, trained_on, why_unchecked
from charaforge.evaluation.subject import Subject, load_subject
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.warehouse.layout import Warehouse


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    return draw_character(Character.from_seed(5), folder / "set", 36, Warehouse(folder / "warehouse"))


@pytest.fixture
def subject(table: Path, warehouse: Warehouse) -> Subject:
    return load_subject(table, "", warehouse, lambda _: ())


def trained(warehouse: Warehouse, lora: str, **record: object) -> None:
    folder = warehouse.lora_folder(lora)
    folder.mkdir(parents=True)
    told = {"model_id": "mini-sd", **{key: str(value) for key, value in record.items()}}
    (folder / "resolved_config.yaml").write_text(json.dumps(told), encoding="utf-8")


def test_its_own_table_adds_nothing(table: Path, subject: Subject, warehouse: Warehouse) -> None:
    trained(warehouse, "own", dataset_meta=table, character=subject.name)
    assert set(trained_on("own@100", warehouse)) == set(subject.training)
    assert also_trained(subject, trained_on("own", warehouse)) is subject
    check_apart(subject)


def test_references_that_another_table_trains_on_are_refused(
    table: Path, subject: Subject, warehouse: Warehouse, tmp_path: Path
) -> None:
    """As `eval --dataset` and `compare` would meet it: held out here, trained on there."""
    other = tmp_path / "other.csv"
    rows = [f"{path},{subject.name},train" for path in subject.references[:2]]
    rows += [f"{subject.references[2]},somebody,train", f"{subject.references[3]},{subject.name},ref"]
    other.write_text("\n".join(["image_path,character,split", *rows]), encoding="utf-8")
    trained(warehouse, "greedy", dataset_meta=other, character=subject.name)
    both = also_trained(subject, trained_on("greedy", warehouse))
    with pytest.raises(NotMeasurableError, match=f"2 of {len(subject.held_out)} held-out pictures"):
        check_apart(both)


def test_a_copy_under_another_name_is_refused(subject: Subject, warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    shutil.copy(subject.calibration[0], tmp_path / "pictures" / "renamed.png")
    trained(warehouse, "folder", train_data_dir=tmp_path / "pictures")
    with pytest.raises(NotMeasurableError, match=subject.calibration[0].name):
        check_apart(also_trained(subject, trained_on("folder", warehouse)))


def test_where_nothing_tells_nothing_is_added(subject: Subject, warehouse: Warehouse, tmp_path: Path) -> None:
    assert trained_on("nobody", warehouse) == ()
    trained(warehouse, "moved", dataset_meta=tmp_path / "gone.csv")
    assert trained_on("moved", warehouse) == ()


def test_what_cannot_be_checked_is_told(
    table: Path, subject: Subject, warehouse: Warehouse, tmp_path: Path
) -> None:
    assert why_unchecked("nobody", warehouse) == "the LoRA carries no record of it"
    trained(warehouse, "own", dataset_meta=table, character=subject.name)
    assert why_unchecked("own@100", warehouse) == ""
    trained(warehouse, "moved", dataset_meta=tmp_path / "gone.csv")
    assert why_unchecked("moved", warehouse) == "gone.csv is not found"
    trained(warehouse, "emptied", train_data_dir=tmp_path / "gone")
    assert why_unchecked("emptied", warehouse) == "gone is not found"
    trained(warehouse, "silent")
    assert why_unchecked("silent", warehouse) == "the source of its pictures is not found"


def test_pictures_that_are_gone_cannot_be_checked(
    table: Path, subject: Subject, warehouse: Warehouse, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    rows = [f"{subject.training[0]},a,train", "gone.png,a,train", f"{subject.training[0]},b,ref"]
    other.write_text("\n".join(["image_path,character,split", *rows]), encoding="utf-8")
    trained(warehouse, "part", dataset_meta=other, character="a")
    assert why_unchecked("part", warehouse) == "1 of the 2 pictures in other.csv are gone"
    trained(warehouse, "none", dataset_meta=other, character="b")
    assert why_unchecked("none", warehouse) == "other.csv lists no pictures of it"
