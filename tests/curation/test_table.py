import csv
import math
from pathlib import Path
from typing import Any

import pytest

from charaforge.curation import table
from charaforge.curation.inputs import inputs
from charaforge.errors import DatasetError, UsageError
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import table_rows


def test_a_stage_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows: dict[Path, dict[str, Any]] = {
        tmp_path / "a.png": {"sha256": "ab", "error": "", "score": 0.5, "tags": {"smile": 0.9}, "n": 1},
        tmp_path / "b.png": {"sha256": "", "error": "broken or cut off: x"},
    }
    table.write_stage(tmp_path / "set", "pose", rows, {"people": 1})
    read = table.read_stage(tmp_path / "set", "pose")
    assert list(read) == [str(path) for path in rows]
    assert read[str(tmp_path / "a.png")]["tags"] == '{"smile":0.9}'
    assert read[str(tmp_path / "b.png")]["score"] is None
    assert table.read_summary(tmp_path / "set") == {
        "pose": {"pictures": 2, "errors": 1, "reasons": {"broken or cut off": 1}, "people": 1}
    }


def test_a_stage_that_has_not_run_has_no_rows(tmp_path: Path) -> None:
    assert table.read_stage(tmp_path, "pose") == {}


def test_the_summary_keeps_what_other_stages_told(tmp_path: Path) -> None:
    table.update_summary(tmp_path, "dedupe", {"groups": 3})
    table.update_summary(tmp_path, "pose", {"people": 1})
    assert table.read_summary(tmp_path) == {"dedupe": {"groups": 3}, "pose": {"people": 1}}


def test_columns_of_any_kind_are_stored(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"a": None, "b": 1, "c": 1, "d": [1]},
        {"a": None, "b": 0.5, "c": "x", "d": None},
    ]
    table.write_parquet(tmp_path / "t.parquet", rows, ["b"])
    read = table.read_parquet(tmp_path / "t.parquet")
    assert list(read[0]) == ["b", "a", "c", "d"]
    assert read[0] == {"b": 1.0, "a": None, "c": "1", "d": "[1]"}
    assert math.isclose(read[1]["b"], 0.5)


def test_a_damaged_table_says_so(tmp_path: Path) -> None:
    (tmp_path / "pose.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DatasetError, match="run the stage again"):
        table.read_stage(tmp_path, "pose")


def test_the_csv_is_the_flat_view(tmp_path: Path) -> None:
    rows = [{"tags": 'a, "b"', "points": [1, 2], "more": 1}]
    table.write_csv(tmp_path / "t.csv", rows, ["tags", "points"])
    with (tmp_path / "t.csv").open(newline="") as stream:
        assert list(csv.DictReader(stream)) == [{"tags": 'a, "b"', "points": "[1,2]"}]


def test_inputs_are_a_folder_or_a_table(tmp_path: Path) -> None:
    pictures = tmp_path / "in"
    pictures.mkdir()
    (pictures / "a.png").touch()
    warehouse = Warehouse(tmp_path / "warehouse")
    table.write_csv(tmp_path / "t.csv", [{"image_path": "in/a.png"}], ["image_path"])
    assert table_rows(tmp_path / "t.csv") == [{"image_path": "in/a.png"}]
    assert [found.path for found in inputs(pictures, warehouse)] == [pictures / "a.png"]
    assert [found.path for found in inputs(tmp_path / "t.csv", warehouse)] == [pictures / "a.png"]


def test_inputs_say_what_is_wrong(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with pytest.raises(UsageError, match="there is no"):
        inputs(tmp_path / "missing", warehouse)
    with pytest.raises(DatasetError, match="no pictures"):
        inputs(tmp_path, warehouse)
    table.write_csv(tmp_path / "t.csv", [{"path": "x"}], ["path"])
    with pytest.raises(UsageError, match="no column image_path"):
        inputs(tmp_path / "t.csv", warehouse)
