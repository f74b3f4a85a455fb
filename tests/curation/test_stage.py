import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from charaforge.curation.cache import Lines
from charaforge.curation.pictures import Picture, read_picture
from charaforge.curation.stage import Stage, run_stage, run_stages
from charaforge.errors import ModelFileError, WarehouseError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Ten pictures, each of its own grey; the last has the content of the first."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        Image.new("RGB", (8, 8), (number % 9,) * 3).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


class Counting:
    """A stage's work that remembers what it was given."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.batches: list[int] = []
        self.fail_at = fail_at

    def __call__(self, pictures: list[Picture]) -> list[dict[str, Any]]:
        self.batches.append(len(pictures))
        if self.fail_at in [picture.rgb[0, 0, 0] for picture in pictures]:
            raise RuntimeError("out of order")
        return [{"grey": int(picture.rgb[0, 0, 0])} for picture in pictures]


def test_rows_come_in_order_and_equal_contents_are_worked_on_once(files: list[Path], tmp_path: Path) -> None:
    work = Counting()
    rows = run_stage(Stage("look", work, batch=4), files, tmp_path / "cache")
    assert list(rows) == files
    assert [row["grey"] for row in rows.values()] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]
    assert {row["error"] for row in rows.values()} == {""}
    assert work.batches == [4, 4, 1]


def test_what_is_cached_is_not_worked_on_again(files: list[Path], tmp_path: Path) -> None:
    first = run_stage(Stage("look", Counting()), files[:6], tmp_path / "cache")
    work = Counting()
    again = run_stage(Stage("look", work), files, tmp_path / "cache")
    assert work.batches == [3]
    assert {path: again[path] for path in first} == first


@pytest.mark.parametrize(
    "other",
    [Stage("other", Counting()), Stage("look", Counting(), {"k": 1}), Stage("look", Counting(), {}, "ab")],
)
def test_stage_parameters_and_model_decide_the_key(files: list[Path], tmp_path: Path, other: Stage) -> None:
    run_stage(Stage("look", Counting()), files, tmp_path / "cache")
    run_stage(other, files, tmp_path / "cache")
    assert other.work.batches  # type: ignore[attr-defined]


def test_a_changed_file_is_worked_on_anew(files: list[Path], tmp_path: Path) -> None:
    run_stage(Stage("look", Counting()), files, tmp_path / "cache")
    Image.new("RGB", (8, 8), (99,) * 3).save(files[3])
    assert run_stage(Stage("look", Counting()), files, tmp_path / "cache")[files[3]]["grey"] == 99


def test_a_torn_last_line_is_ignored_and_cut_off(files: list[Path], tmp_path: Path) -> None:
    stage = Stage("look", Counting(), batch=1)
    whole = run_stage(stage, files, tmp_path / "cache")
    store = tmp_path / "cache" / "look" / f"{stage.key}.jsonl"
    store.write_bytes(store.read_bytes()[:-7])
    work = Counting()
    assert run_stage(Stage("look", work), files, tmp_path / "cache") == whole
    assert work.batches == [1]
    assert all(json.loads(line) for line in store.read_text().splitlines())


def test_a_broken_line_in_the_middle_is_worked_on_again(files: list[Path], tmp_path: Path) -> None:
    stage = Stage("look", Counting(), batch=1)
    whole = run_stage(stage, files, tmp_path / "cache")
    store = tmp_path / "cache" / "look" / f"{stage.key}.jsonl"
    lines = store.read_bytes().splitlines(keepends=True)
    store.write_bytes(b"".join([lines[0], b"\0\0\0\n", *lines[2:]]))
    assert run_stage(stage, files, tmp_path / "cache") == whole


def test_errors_are_rows_and_are_tried_again(files: list[Path], tmp_path: Path) -> None:
    good = files[2].read_bytes()
    files[2].write_bytes(good[:40])
    files[3].unlink()
    rows = run_stage(Stage("look", Counting(), batch=3), files, tmp_path / "cache")
    assert rows[files[2]]["error"].startswith("broken")
    assert rows[files[3]] == {"sha256": "", "error": "cannot be read: No such file or directory"}
    assert sum(not row["error"] for row in rows.values()) == 8
    files[2].write_bytes(good)
    os.utime(files[2])
    assert run_stage(Stage("look", Counting()), files, tmp_path / "cache")[files[2]]["grey"] == 2


def test_one_picture_that_fails_spoils_no_other(files: list[Path], tmp_path: Path) -> None:
    rows = run_stage(Stage("look", Counting(fail_at=5), batch=4), files, tmp_path / "cache")
    assert rows[files[5]]["error"] == "look failed: RuntimeError: out of order"
    assert [row.get("grey") for row in rows.values()] == [0, 1, 2, 3, 4, None, 6, 7, 8, 0]


def test_a_fault_of_the_stage_itself_stops_it(files: list[Path], tmp_path: Path) -> None:
    def work(pictures: list[Picture]) -> list[dict[str, Any]]:
        raise ModelFileError("no model")

    with pytest.raises(ModelFileError):
        run_stage(Stage("look", work), files, tmp_path / "cache")


def test_padded_batches_have_one_size(files: list[Path], tmp_path: Path) -> None:
    work = Counting()
    rows = run_stage(Stage("look", work, batch=4, padded=True), files, tmp_path / "cache")
    assert work.batches == [4, 4, 4]
    assert rows[files[8]]["grey"] == 8


def test_two_runs_do_not_write_one_cache(files: list[Path], tmp_path: Path) -> None:
    stage = Stage("look", Counting())
    with Lines(tmp_path / "cache" / "look" / f"{stage.key}.jsonl"), pytest.raises(WarehouseError):
        run_stage(stage, files, tmp_path / "cache")


def test_large_pictures_make_small_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charaforge.curation.stage.AHEAD_BYTES", 64 * 64 * 3 * 2)
    files = [tmp_path / f"{number}.png" for number in range(6)]
    for number, file in enumerate(files):
        Image.fromarray(np.full((64, 64, 3), number, np.uint8)).save(file)
    work = Counting()
    run_stage(Stage("look", work), files, tmp_path / "cache")
    assert max(work.batches) == 2


def test_stages_share_one_reading(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def reading(path: Path) -> Picture:
        read.append(path)
        return read_picture(path)

    monkeypatch.setattr("charaforge.curation.stage.read_picture", reading)
    run_stage(Stage("first", Counting()), files[:4], tmp_path / "cache")
    read.clear()
    first, second = Counting(), Counting(fail_at=1)
    rows = run_stages([Stage("first", first), Stage("second", second, batch=2)], files, tmp_path / "cache")
    assert len(read) == 9
    assert first.batches == [5]
    assert [row["grey"] for row in rows[0].values()] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 0]
    assert [row.get("grey") for row in rows[1].values()] == [0, None, 2, 3, 4, 5, 6, 7, 8, 0]
