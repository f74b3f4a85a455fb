"""Metadata tables, as spreadsheets and other programs write them."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from charaforge.errors import DatasetError, UsageError
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import locate_picture, table_rows


def test_csv_with_a_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeffimage_path,tags\r\na.png, blue hair \r\nb.png,\r\n".encode())
    assert table_rows(path) == [
        {"image_path": "a.png", "tags": "blue hair"},
        {"image_path": "b.png", "tags": ""},
    ]


def test_parquet_gives_the_same_text(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image_path": ["a.png"], "score": [0.5], "notes": [None]}), path)
    assert table_rows(path) == [{"image_path": "a.png", "score": "0.5", "notes": ""}]


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no table"):
        table_rows(tmp_path / "t.csv")
    (tmp_path / "t.txt").touch()
    with pytest.raises(UsageError, match="neither CSV nor Parquet"):
        table_rows(tmp_path / "t.txt")
    (tmp_path / "t.csv").write_text("image_path\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="no rows"):
        table_rows(tmp_path / "t.csv")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="not a Parquet file"):
        table_rows(tmp_path / "t.parquet")


def test_paths_inside_the_warehouse_and_beside_the_table(warehouse: Warehouse, tmp_path: Path) -> None:
    inside = warehouse.raw / "a.png"
    inside.touch()
    table = tmp_path / "t.csv"
    (tmp_path / "b.png").touch()
    assert locate_picture("datasets/raw/a.png", table, warehouse) == inside.resolve()
    assert locate_picture("b.png", table, warehouse) == tmp_path / "b.png"
    assert locate_picture(str(tmp_path / "c.png"), table, warehouse) == tmp_path / "c.png"
