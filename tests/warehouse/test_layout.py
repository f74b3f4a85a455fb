from datetime import date
from pathlib import Path

from charaforge.warehouse.layout import Warehouse


def test_output_folder_is_the_missions(tmp_path: Path) -> None:
    folder = Warehouse(tmp_path).output_folder(date(2025, 8, 22), "job1")
    assert folder == tmp_path / "outputs/charaforge-t2i-lab/2025-08-22/job1"


def test_stored_paths_are_relative_inside_and_absolute_outside(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "wh")
    inside, outside = tmp_path / "wh/datasets/raw/a.png", tmp_path / "b.png"
    assert warehouse.portable(inside) == "datasets/raw/a.png"
    assert warehouse.portable(outside) == str(outside)
    assert [warehouse.locate(warehouse.portable(path)) for path in (inside, outside)] == [inside, outside]


def test_a_link_out_of_the_warehouse_is_stored_as_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "wh").mkdir()
    (tmp_path / "wh" / "mine").symlink_to(tmp_path / "pictures")
    assert Warehouse(tmp_path / "wh").portable(tmp_path / "wh/mine/a.png") == str(tmp_path / "pictures/a.png")
