"""The verb from end to end, with the embedded tagger and a small one in DeepDanbooru's layout beside it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from charaforge.cli.main import main
from charaforge.curation.table import read_parquet, read_summary
from charaforge.mini.characters import Character
from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, scene_tags
from charaforge.warehouse.layout import Warehouse
from tests.perception.onnx_models import channel_means

OVERRIDING = ("--ignore-sidecars",)


def draw(folder: Path, scenes: list[Scene]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, scene in enumerate(scenes):
        files.append(folder / f"{index:03}.png")
        Image.fromarray(render(scene, 128)).save(files[-1])
    return files


def tag(source: Path, out: Path, *options: str) -> dict[str, dict[str, Any]]:
    assert main(["tag", "--in", str(source), "--out", str(out), *options]) == 0
    return {Path(row["path"]).name: row for row in read_parquet(out / "tag.parquet")}


def tags_of(row: dict[str, Any]) -> list[str]:
    return row["tags"].split(", ") if row["tags"] else []


def content(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(file.relative_to(folder)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def color_tagger(
    warehouse: Warehouse, tags: str = "name,category\nred_hair,0\nsmile,0\nblue_theme,0\n"
) -> None:
    """A tagger that sees how red, green and blue a picture is."""
    folder = warehouse.models / "taggers" / "colors"
    channel_means(folder / "model.onnx", 8, channel_axis=3)
    (folder / "deepdanbooru_tags.csv").write_text(tags)


def test_held_out_renders_get_their_tags(warehouse: Warehouse, tmp_path: Path) -> None:
    scenes = [scene_of("held-out", i) for i in range(40)]
    draw(tmp_path / "in", scenes)
    rows = tag(tmp_path / "in", tmp_path / "out")
    right = [set(scene_tags(scene)) for scene in scenes]
    given = [set(tags_of(row)) for row in rows.values()]
    used = set[str]().union(*right, *given)
    f1 = [
        2
        * sum(t in r and t in g for r, g in zip(right, given, strict=True))
        / sum((t in r) + (t in g) for r, g in zip(right, given, strict=True))
        for t in used
    ]
    assert sum(f1) / len(f1) >= 0.95


def test_probabilities_are_kept_and_other_thresholds_need_no_second_look(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    draw(tmp_path / "in", [scene_of("test", i) for i in range(3)])
    before = tag(tmp_path / "in", tmp_path / "out")
    scores = json.loads(before["000.png"]["tag_scores"])["mini-tagger"]
    assert min(scores.values()) >= 0.05
    assert {name for name, p in scores.items() if p > 0.35} == set(tags_of(before["000.png"]))
    cached = {name: digest for name, (digest, _) in content(tmp_path / "out" / "cache").items()}
    after = tag(tmp_path / "in", tmp_path / "out", "--threshold", "0.9999")
    assert {name: digest for name, (digest, _) in content(tmp_path / "out" / "cache").items()} == cached
    assert len(tags_of(after["000.png"])) < len(tags_of(before["000.png"]))
    assert after["000.png"]["tag_scores"] == before["000.png"]["tag_scores"]
    (model,) = read_summary(tmp_path / "out")["tag"]["models"]
    assert (model["name"], model["preproc_id"], len(model["sha256"])) == ("mini-tagger", "wd14-v3", 64)


def test_two_taggers_are_merged_and_both_are_told(warehouse: Warehouse, tmp_path: Path) -> None:
    color_tagger(warehouse)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 64), (255, 40, 230)).save(tmp_path / "in" / "a.png")
    both = ("--tagger", "mini-tagger", "--tagger", "colors")
    row = tag(tmp_path / "in", tmp_path / "out", *both)["a.png"]
    scores = json.loads(row["tag_scores"])
    assert scores["colors"] == {"red hair": 1.0, "smile": 0.1569, "blue theme": 0.902}
    assert set(scores) == {"mini-tagger", "colors"}
    assert "blue theme" in tags_of(row)  # only one of them knows it
    wanted = tag(tmp_path / "in", tmp_path / "out", *both, "--merge", "votes", "--votes", "1")["a.png"]
    assert "red hair" in tags_of(wanted)
    strict = tag(tmp_path / "in", tmp_path / "out", *both, "--merge", "votes", "--votes", "2")["a.png"]
    sure = scores["mini-tagger"].get("red hair", 0) > 0.35
    assert ("red hair" in tags_of(strict)) == sure


def test_traits_of_a_character_are_left_out_of_tags_and_captions(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    character, rng = Character.from_seed(7), random.Random(0)
    draw(tmp_path / "in", [character.scene(rng) for _ in range(10)])
    plain = tag(tmp_path / "in", tmp_path / "out", "--character", "kipufa")
    assert all("brown hair" in tags_of(row) for row in plain.values())
    rows = tag(tmp_path / "in", tmp_path / "out", "--character", "kipufa", "--prune-traits")
    for row in rows.values():
        assert not {"brown hair", "spiked hair", "headphones"} & set(tags_of(row))
        assert {"brown hair", "spiked hair", "headphones"} <= set(row["traits"].split(", "))
        assert {"1girl", "chibi"} <= set(tags_of(row))  # as frequent everywhere
    told = read_summary(tmp_path / "out")["tag"]["traits"]["kipufa"]
    assert {"brown hair", "spiked hair"} <= {trait["tag"] for trait in told}
    caption = (tmp_path / "out" / "captions" / "000.txt").read_text()
    assert caption == f"kipufa, {rows['000.png']['tags']}\n"


def test_a_table_names_pictures_and_characters(warehouse: Warehouse, tmp_path: Path) -> None:
    first, second = Character.from_seed(7), Character.from_seed(8)
    rng = random.Random(0)
    files = draw(tmp_path / "in", [c.scene(rng) for c in (first, second) for _ in range(6)])
    lines = [f"{file},{'one' if index < 6 else 'two'}" for index, file in enumerate(files)]
    (tmp_path / "table.csv").write_text("image_path,character\n" + "\n".join(lines))
    tag(tmp_path / "table.csv", tmp_path / "out", "--prune-traits")
    traits = read_summary(tmp_path / "out")["tag"]["traits"]
    told = {character: {trait["tag"] for trait in found} for character, found in traits.items()}
    assert set(first.trait_tags()) & told["one"]
    assert set(second.trait_tags()) & told["two"]
    assert not told["one"] & set(second.trait_tags()) - set(first.trait_tags())


def test_words_beside_the_pictures_come_first_and_originals_stay(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    draw(tmp_path / "in", [scene_of("test", i) for i in range(2)])
    (tmp_path / "in" / "000.txt").write_text("holding_cup, hair bow, bow")
    before = content(tmp_path / "in")
    rows = tag(tmp_path / "in", tmp_path / "out")
    assert content(tmp_path / "in") == before
    assert tags_of(rows["000.png"])[:2] == ["holding cup", "hair bow"]
    assert "bow" not in tags_of(rows["000.png"])
    assert json.loads(rows["000.png"]["tag_scores"])["sidecar"] == {"holding cup": 1, "hair bow": 1, "bow": 1}
    assert "holding cup" not in tags_of(tag(tmp_path / "in", tmp_path / "out", *OVERRIDING)["000.png"])
    kept = tag(tmp_path / "in", tmp_path / "out", "--keep-implied")["000.png"]
    assert "bow" in tags_of(kept)


def test_the_trigger_word_of_a_sidecar_is_not_doubled(warehouse: Warehouse, tmp_path: Path) -> None:
    draw(tmp_path / "in", [scene_of("test", 0)])
    (tmp_path / "in" / "000.txt").write_text("kipufa, holding cup")
    row = tag(tmp_path / "in", tmp_path / "out", "--character", "kipufa")["000.png"]
    assert tags_of(row)[0] == "holding cup"
    assert (tmp_path / "out" / "captions" / "000.txt").read_text().startswith("kipufa, holding cup, ")


def test_captions_written_are_captions_read(warehouse: Warehouse, tmp_path: Path) -> None:
    files = draw(tmp_path / "in" / "sub", [scene_of("test", i) for i in range(2)])
    first = tag(tmp_path / "in", tmp_path / "out")
    shutil.copytree(tmp_path / "out" / "captions", tmp_path / "again")
    for file in files:
        shutil.copy(file, tmp_path / "again" / file.relative_to(tmp_path / "in" / "sub"))
    second = tag(tmp_path / "again", tmp_path / "out2")
    assert [row["tags"] for row in second.values()] == [row["tags"] for row in first.values()]


def test_bad_files_get_a_row_with_their_reason(warehouse: Warehouse, tmp_path: Path) -> None:
    (file,) = draw(tmp_path / "in", [scene_of("test", 0)])
    (tmp_path / "in" / "cut.png").write_bytes(file.read_bytes()[:200])
    (tmp_path / "in" / "empty.png").touch()
    (tmp_path / "in" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/odd\xff.png")).write_bytes(file.read_bytes())
    rows = tag(tmp_path / "in", tmp_path / "out")
    assert {name: bool(row["error"]) for name, row in rows.items()} == {
        "000.png": False,
        "cut.png": True,
        "empty.png": True,
        "lost.png": True,
        "odd\\xff.png": True,
    }
    assert len((tmp_path / "out" / "tag.csv").read_text().splitlines()) == 6
    assert rows["empty.png"]["error"] == "the file is empty (0 bytes)"
    assert rows["cut.png"]["tags"] is None
    assert {path.name for path in (tmp_path / "out" / "captions").iterdir()} == {"000.txt"}
    assert read_summary(tmp_path / "out")["tag"]["errors"] == 4


def test_a_calibration_is_found_and_used_as_rules(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = [scene_of("test", i) for i in range(24)]
    for file, scene in zip(draw(tmp_path / "in", scenes), scenes, strict=True):
        file.with_suffix(".txt").write_text(", ".join(scene_tags(scene)))
    rules = tmp_path / "rules.yaml"
    tag_it = ["tag", "--in", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main([*tag_it, "--calibrate", str(rules)]) == 0
    assert "mini-tagger:  slope" in capsys.readouterr().out
    assert not (tmp_path / "out" / "tag.parquet").exists()
    rows = tag(tmp_path / "in", tmp_path / "out", "--rules", str(rules), *OVERRIDING)
    right = sum(
        set(tags_of(row)) == set(scene_tags(scene)) for row, scene in zip(rows.values(), scenes, strict=True)
    )
    assert right >= 20


def test_rules_that_do_not_fit_are_refused(
    warehouse: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "in", [scene_of("test", 0)])
    words = ["tag", "--in", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    (tmp_path / "rules.yaml").write_text("threshold: {general: 0.4}\n")
    assert main([*words, "--rules", str(tmp_path / "rules.yaml")]) == 2
    assert "did you mean 'thresholds'" in capsys.readouterr().err
    (tmp_path / "rules.yaml").write_text("taggers: {wd: {weight: 2}}\n")
    assert main([*words, "--rules", str(tmp_path / "rules.yaml")]) == 2
    assert "unknown tagger in the rules 'wd'" in capsys.readouterr().err
    assert main([*words, "--threshold", "1.5"]) == 2
    assert main([*words, "--threshold", "0.01"]) == 2  # lower probabilities are not kept
    assert main([*words, "--prune-traits"]) == 2
    assert "give --character" in capsys.readouterr().err
    assert main([*words, "--tagger", "mini-taggr"]) == 2
    assert main(["tag", "--in", str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 2


@pytest.mark.slow
def test_macro_f1_on_two_thousand_held_out_renders(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(repository / "benchmarks" / "tagging.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2000 pictures of 512 px" in done.stdout
