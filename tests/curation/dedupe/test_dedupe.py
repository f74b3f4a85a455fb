"""The verb on pictures: copies of many kinds, pictures that only resemble each other, files added later."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from charaforge.cli.main import main
from charaforge.curation.table import read_stage, read_summary
from charaforge.mini.characters import Character
from charaforge.mini.render import render
from charaforge.mini.scenes import sample_scene

SIDE = 256


@pytest.fixture(autouse=True)
def _warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(tmp_path / "warehouse"))


def draw(folder: Path) -> None:
    """Draw five pictures, copies of the first in several ways, and the first with another expression."""
    folder.mkdir()
    scene = Character.from_seed(5).scene(random.Random(1), expression="smile", pose="waving")
    first = Image.fromarray(render(scene, SIDE))
    first.save(folder / "best.png")
    first.resize((180, 180)).save(folder / "small.png")
    first.save(folder / "rough.jpg", quality=40)
    first.save(folder / "fine.jpg", quality=95)
    first.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.webp", quality=80)
    first.transpose(Image.Transpose.ROTATE_90).resize((200, 200)).save(folder / "turned.png")
    (folder / "deep").mkdir()
    shutil.copy(folder / "best.png", folder / "deep" / "same.png")
    Image.fromarray(render(replace(scene, expression="angry"), SIDE)).save(folder / "angry.png")
    chance = random.Random(2)
    for number in range(4):
        Image.fromarray(render(sample_scene(chance), SIDE)).save(folder / f"other-{number}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")


def table(out: Path, folder: Path) -> dict[str, dict[str, Any]]:
    prefix = str(folder) + "/"
    return {path.removeprefix(prefix): row for path, row in read_stage(out, "dedupe").items()}


def dedupe(folder: Path, out: Path, *more: str) -> dict[str, dict[str, Any]]:
    assert main(["dedupe", "--in", str(folder), "--out", str(out), *more]) == 0
    return table(out, folder)


COPIES = {"small.png", "rough.jpg", "fine.jpg", "mirrored.webp", "turned.png", "deep/same.png"}


def test_copies_are_found_and_others_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    rows = dedupe(folder, out)
    assert len(rows) == 13
    assert {name for name, row in rows.items() if row["dup_of"]} == COPIES
    assert {rows[name]["dup_of"] for name in COPIES} == {str(folder / "best.png")}
    groups = {name: row["dup_group"] for name, row in rows.items() if row["dup_group"]}
    assert set(groups) == COPIES | {"best.png"}
    assert set(groups.values()) == {rows["best.png"]["sha256"][:16]}
    assert rows["deep/same.png"]["dup_dist"] == 0
    assert rows["mirrored.webp"]["dup_turn"] == "mirror"
    assert rows["turned.png"]["dup_turn"] == "rot270", "what undoes the quarter turn"
    assert rows["broken.png"]["error"]
    assert rows["best.png"]["dup_dist"] is None
    told = read_summary(out)["dedupe"]
    assert (told["copies"], told["groups"], told["exact"], told["errors"]) == (6, 1, 1, 1)
    assert told["turned"] == {"mirror": 1, "rot270": 1}
    answer = capsys.readouterr().out
    assert "by chance:" in answer
    assert "6 in 1 groups" in answer
    page = (out / "dedupe.html").read_text()
    assert page.count("data:image/jpeg") >= 6
    assert "://" not in page


def test_turns_are_optional_and_the_index_follows(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    dedupe(folder, out)
    rows = dedupe(folder, out, "--no-turns")
    assert {name for name, row in rows.items() if row["dup_of"]} == COPIES - {"mirrored.webp", "turned.png"}
    rows = dedupe(folder, out, "--radius", "0")
    assert {"deep/same.png", "mirrored.webp"} <= {name for name, row in rows.items() if row["dup_of"]}


def test_a_better_picture_takes_over_when_it_is_added(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    (folder / "best.png").rename(tmp_path / "best.png")
    (folder / "deep" / "same.png").unlink()
    rows = dedupe(folder, out)
    assert rows["rough.jpg"]["dup_of"] == str(folder / "fine.jpg"), "the JPEG that lost less"
    assert rows["small.png"]["dup_of"] == str(folder / "fine.jpg"), "the larger one"
    (tmp_path / "best.png").rename(folder / "best.png")
    added = dedupe(folder, out)
    assert {name for name, row in added.items() if row["dup_of"]} == COPIES - {"deep/same.png"}
    shutil.rmtree(out)
    assert dedupe(folder, out) == added


def test_pictures_that_are_gone_keep_nothing(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    dedupe(folder, out)
    (folder / "best.png").unlink()
    (folder / "deep" / "same.png").unlink()
    rows = dedupe(folder, out)
    assert rows["small.png"]["dup_of"] == str(folder / "fine.jpg")


def test_a_torn_index_is_made_anew(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    rows = dedupe(folder, out)
    thumbs = out / "dedupe-index" / "thumbs.bin"
    thumbs.write_bytes(thumbs.read_bytes()[:-5])
    assert dedupe(folder, out) == rows
    with thumbs.open("ab") as stream:  # what a killed run leaves behind
        stream.write(b"torn")
    Image.fromarray(render(sample_scene(random.Random(8)), SIDE)).save(folder / "new.png")
    assert len(dedupe(folder, out)) == len(rows) + 1
    assert not np.fromfile(thumbs, np.uint8).size % (32 * 32 * 3)


def test_moving_and_undoing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    dedupe(folder, out, "--apply", "move")
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {str(path.relative_to(folder)) for path in before} - COPIES
    assert (out / "copies" / "deep" / "same.png").is_file()
    (folder / "small.png").write_bytes(b"somebody else's")
    journal = str(out / "dedupe-journal.jsonl")
    assert main(["dedupe", "--undo", journal]) == 1
    assert "small.png" in capsys.readouterr().out
    (folder / "small.png").unlink()
    assert main(["dedupe", "--undo", journal]) == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert main(["dedupe", "--undo", journal]) == 2


def test_a_copy_without_its_keeper_or_with_new_content_stays(tmp_path: Path) -> None:
    from charaforge.curation.dedupe.applying import move_copies
    from charaforge.curation.dedupe.dedupe import Copy

    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_bytes(name.encode())
    copies = [
        Copy(folder / "a", folder / "gone", 0, "", True),
        Copy(folder / "b", folder / "c", 0, "", True),
    ]
    rows = {path: {"sha256": "00"} for path in folder.iterdir()}
    assert move_copies(copies, rows, folder, tmp_path / "out") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "c"]


def test_linking_and_undoing(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    dedupe(folder, out, "--apply", "link")
    links = {str(path.relative_to(out / "kept")) for path in (out / "kept").rglob("*")}
    assert links == {"best.png", "angry.png", *(f"other-{number}.png" for number in range(4))}
    assert (out / "kept" / "best.png").resolve() == folder / "best.png"
    dedupe(folder, out, "--apply", "link")
    assert len((out / "dedupe-journal.jsonl").read_text().splitlines()) == 6, "links are made once"
    assert main(["dedupe", "--undo", str(out / "dedupe-journal.jsonl")]) == 0
    assert not list((out / "kept").rglob("*"))
    assert (folder / "best.png").is_file()


def test_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dedupe", "--in", str(tmp_path)]) == 2
    draw(tmp_path / "in")
    inside = tmp_path / "in" / "found"
    assert main(["dedupe", "--in", str(tmp_path / "in"), "--out", str(inside), "--apply", "move"]) == 2
    assert "outside" in capsys.readouterr().err
    assert len(list((tmp_path / "in").rglob("*.*g"))) >= 11


def test_a_table_is_read_too(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder)
    listed = tmp_path / "some.csv"
    listed.write_text(f"image_path\n{folder}/best.png\n{folder}/small.png\n{folder}/other-1.png\n")
    assert main(["dedupe", "--in", str(listed), "--out", str(out)]) == 0
    rows = table(out, folder)
    assert {name: bool(row["dup_of"]) for name, row in rows.items()} == {
        "best.png": False,
        "small.png": True,
        "other-1.png": False,
    }
    assert json.loads((out / "dedupe-index" / "index.json").read_text())["counts"]["small"] == 3
