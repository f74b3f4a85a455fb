"""Character sheets: what is asked for, how the page is laid out, and one of a tiny model from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from charaforge.cli.main import main
from charaforge.diffusion.bundle import load_bundle
from charaforge.evaluation.publish import with_header
from charaforge.forge.effort import SHEET_PICTURES
from charaforge.forge.sheet import SheetPlan, usual_outfit
from charaforge.forge.sheet.drawing import CELL, Strip, draw_page, font_for
from charaforge.forge.sheet.words import MINI, REAL, Row
from charaforge.mini.scenes import all_tags
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import NUMBERS_KEY
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_sd, write_card


@pytest.mark.parametrize("rows", [MINI, REAL])
def test_four_rows_of_six_with_labels_of_their_own(rows: tuple[Row, ...]) -> None:
    assert [row.title for row in rows] == ["Views", "Expressions", "Poses", "Outfits"]
    assert sum(len(row.cells) for row in rows) == SHEET_PICTURES
    for row in rows:
        assert len({cell.label for cell in row.cells}) == 6
        assert len({cell.words for cell in row.cells}) == 6
        assert all("{" not in cell.words for cell in row.cells)


def test_the_mini_world_is_asked_in_its_own_words() -> None:
    known = {*all_tags(), "[outfit]"}
    for row in MINI:
        for cell in row.cells:
            assert set(cell.words.split(", ")) <= known


def test_the_page_holds_its_pictures_where_their_labels_are() -> None:
    colours = [(200, 0, 0), (0, 160, 0), (0, 0, 200)]
    strips = [
        Strip("Views", "seed 1", [(f"{colour}", Image.new("RGB", (64, 64), colour)) for colour in colours]),
        Strip(
            "Poses",
            "seed 1",
            [("a label that is far too long for its cell " * 3, Image.new("RGB", (64, 32)))],
        ),
    ]
    page = np.asarray(draw_page("mochi", ["one line"], strips))
    assert page.shape[1] == 2 * 56 + 3 * CELL + 2 * 18
    for index, colour in enumerate(colours):
        found = (page == np.array(colour)).all(axis=2)
        columns = np.flatnonzero(found.any(axis=0))
        assert 56 + index * (CELL + 18) <= columns.min()
        assert columns.max() < 56 + index * (CELL + 18) + CELL
        assert found.sum() > 0.9 * CELL * CELL
    margin = page[20:, :50]
    assert (margin == margin[0, 0]).all(), "nothing runs into the margin"
    below = page[-50:, 56 + CELL + 18 :]
    assert (below == below[0, 0]).all(), "the long label is cut"


def test_a_name_that_no_font_can_write_is_not_written() -> None:
    assert font_for("mochi 2 (a)") is not None
    assert font_for("mochi \ue123") is None, "no sign has that number"


def test_the_usual_outfit(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = ["a,mochi,red hoodie,train", "b,mochi,red hoodie,train", "c,mochi,kimono,train"]
    rows += ["d,mochi,kimono,ref", "e,mochi,kimono,ref", "f,other,kimono,train", "g,mochi,,train"]
    table.write_text("image_path,character,outfit,split\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert usual_outfit(table, "mochi") == "red hoodie"
    assert usual_outfit(table, "nobody") == ""


def test_what_is_left_out_of_a_training_is_not_worn(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = ["a,mochi,red hoodie,train,,", "b,mochi,kimono,train,a.png,", "c,mochi,kimono,train,,cut off"]
    header = "image_path,character,outfit,split,dup_of,error\n"
    table.write_text(header + "\n".join(rows) + "\n", encoding="utf-8")
    assert usual_outfit(table, "mochi") == "red hoodie", "copies and broken files do not count"


def test_the_outfit_comes_from_the_table_in_the_folder_of_pictures(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, folder = tmp_path / "pictures", warehouse.lora_folder("mochi")
    pictures.mkdir()
    rows = "image_path,character,outfit,split\na.png,mochi,red hoodie,train\n"
    (pictures / "metadata.csv").write_text(rows, encoding="utf-8")
    folder.mkdir(parents=True)
    save_file({"w": np.zeros(2, np.float32)}, folder / "mochi.safetensors")
    record = {"model_id": "mini-sd", "train_data_dir": str(pictures)}
    (folder / "resolved_config.yaml").write_text(json.dumps(record), encoding="utf-8")
    asked: list[SheetPlan] = []

    def draw(plan: SheetPlan, warehouse: Warehouse) -> Path:
        asked.append(plan)
        return plan.out

    monkeypatch.setattr("charaforge.forge.sheet.draw_sheet", draw)
    assert main(["sheet", "mochi", "--out", str(tmp_path / "mochi.png")]) == 0
    assert [(plan.character, plan.outfit) for plan in asked] == [("mochi", "red hoodie")]


def test_a_sheet_of_a_real_base_through_the_command_line(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny_sd(warehouse.sd / "tiny-sd")
    write_card(base, {"name": "tiny-sd", "kind": "base", "family": "sd15", "native_side": 64})
    folder = warehouse.lora_folder("mochi")
    folder.mkdir(parents=True)
    file = folder / "mochi.safetensors"
    random_lora(file, load_bundle(base, "tiny-sd"), seed=1, dtype=torch.float16)
    told = {NUMBERS_KEY: json.dumps({"weight": 0.6, "chosen_step": 50})}
    file.write_bytes(with_header(file.read_bytes(), told))
    out = tmp_path / "mochi.png"
    assert main(["sheet", "mochi", "--out", str(out)]) == 2
    assert "--model" in capsys.readouterr().err
    words = ["sheet", "mochi", "--model", "tiny-sd", "--out", str(out), "--steps", "1", "--seed", "9"]
    assert main(words) == 0
    assert f"sheet: {out}" in capsys.readouterr().out
    with Image.open(out) as page:
        recipe = json.loads(page.info["charaforge.sheet"])
    assert recipe["plan"]["weight"] == 0.6
    assert recipe["plan"]["seed"] == 9
    assert len(recipe["prompts"]) == SHEET_PICTURES
    assert not any("[outfit]" in prompt for prompt in recipe["prompts"])
    first = out.read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "pictures").rglob("*.png")}
    assert len(times) == SHEET_PICTURES
    assert main(words) == 0
    assert out.read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in times} == times, "not rendered again"
