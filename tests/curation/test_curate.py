import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from charaforge.cli.main import main
from charaforge.curation.table import read_parquet, read_summary
from charaforge.mini.characters import Character
from charaforge.mini.render import render
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import noted_traits
from tests.curation.hostile import GOOD, make, obey_permissions


def _draw(folder: Path, count: int, side: int = 128) -> Character:
    """Draw pictures of one character into subfolders, as a user might have them."""
    character = Character.from_seed(5)
    for index in range(count):
        scene = character.scene(random.Random(f"curate {index}"))
        path = folder / f"batch{index % 3}" / f"{index:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render(scene, side)).save(path, compress_level=1)
    return character


def _curate(folder: Path, warehouse: Path, *more: str) -> list[str]:
    os.environ["AI_CACHE_ROOT"] = str(warehouse)
    return ["curate", str(folder), "--character", "mai", *more]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(tmp_path / "warehouse"))


def _rows(root: Path) -> list[dict[str, Any]]:
    return read_parquet(Warehouse(root).metadata / "mai.parquet")


def test_a_folder_becomes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    character = _draw(tmp_path / "in", 40)
    (tmp_path / "in" / "batch0" / "cut.png").write_bytes(b"\x89PNG\r\n")
    assert main(_curate(tmp_path / "in", tmp_path / "warehouse")) == 0
    rows = _rows(tmp_path / "warehouse")
    kept = [row for row in rows if not row["error"]]
    assert (len(rows), len(kept)) == (41, 40)
    assert {row["split"] for row in kept} == {"train", "val", "ref", "calib"}
    traits = set(noted_traits(kept[0]["notes"]))
    assert traits
    assert traits <= {*character.trait_tags(), "1girl", "chibi"}
    assert not any(traits & set(row["tags"].split(", ")) for row in kept)
    assert np.mean([bool(row["outfit"]) for row in kept]) > 0.5
    assert all((tmp_path / "warehouse" / row["pose_map"]).is_file() for row in kept)
    told = read_summary(tmp_path / "warehouse" / "datasets" / "processed" / "mai")
    assert set(told) >= {"look", "dedupe", "tag", "pose", "merge", "curate"}
    assert "charaforge train --data" in capsys.readouterr().out


def test_a_second_run_changes_nothing_and_looks_at_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _draw(tmp_path / "in", 12)
    main(_curate(tmp_path / "in", tmp_path / "warehouse"))
    first = (tmp_path / "warehouse/datasets/metadata/mai.parquet").read_bytes()
    monkeypatch.setattr("charaforge.curation.stage.read_picture", lambda path: pytest.fail("it was read"))
    assert main(_curate(tmp_path / "in", tmp_path / "warehouse")) == 0
    assert (tmp_path / "warehouse/datasets/metadata/mai.parquet").read_bytes() == first


def test_merging_by_hand_gives_the_same_table(tmp_path: Path) -> None:
    _draw(tmp_path / "in", 12)
    main(_curate(tmp_path / "in", tmp_path / "warehouse"))
    first = _rows(tmp_path / "warehouse")
    (tmp_path / "warehouse/datasets/metadata/mai.parquet").unlink()
    assert main(["merge", "--in", str(tmp_path / "in"), "--character", "mai"]) == 0
    assert _rows(tmp_path / "warehouse") == first


@pytest.mark.launch
def test_the_trainer_reads_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _draw(tmp_path / "in", 30)
    (tmp_path / "in" / "empty.png").touch()
    assert main(_curate(tmp_path / "in", tmp_path / "warehouse")) == 0
    rows = _rows(tmp_path / "warehouse")
    capsys.readouterr()
    table = tmp_path / "warehouse/datasets/metadata/mai.parquet"
    assert main(["train", "--data", str(table), "--character", "mai", "--check"]) == 0
    told = capsys.readouterr().out
    counts = {split: sum(row["split"] == split for row in rows) for split in ("train", "val")}
    assert f"{counts['train']} to train" in told or f"{counts['train']}" in told
    assert "1 rows are copies of other pictures or have an error" in told


def _state(root: Path) -> dict[bytes, tuple[int, int, int]]:
    """What must not change: every entry's kind, size and time."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 keeps bytes
            found[folder + b"/" + name] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found


@pytest.mark.launch
def test_sixty_hostile_files_become_sixty_rows(tmp_path: Path) -> None:
    """Must show 7."""
    root, warehouse = tmp_path / "in", tmp_path / "warehouse"
    for folder in (root, warehouse):
        folder.mkdir()
    promised = make(root)
    before = _state(root)
    command = [sys.executable, "-W", "error", "-m", "charaforge.cli.main", *_curate(root, warehouse)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=obey_permissions)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    rows = _rows(warehouse)
    assert (len(promised), len(rows)) == (60, 60)
    prefix = str(root) + "/"
    told = {row["image_path"].removeprefix(prefix): row["error"] for row in rows}
    expected = {name.decode("utf-8", "backslashreplace"): reason for name, reason in promised.items()}
    assert set(told) == set(expected)
    wrong = {
        name: (reason, told[name])
        for name, reason in expected.items()
        if (told[name] != "" if reason == GOOD else not told[name].startswith(reason))
    }
    assert wrong == {}
    assert all(reason.isprintable() and len(reason) < 200 for reason in told.values())
    assert _state(root) == before
    (root / "closed").chmod(0o755)


def _killed_and_finished(folder: Path, warehouse: Path, kills: int, seconds: float) -> int:
    """Start, kill at random moments, finish; return how many kills hit a running process."""
    rng = random.Random(seconds)
    command = [sys.executable, "-m", "charaforge.cli.main", *_curate(folder, warehouse)]
    hits = 0
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, seconds))
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    return hits


def _uninterrupted(folder: Path, warehouse: Path) -> float:
    command = [sys.executable, "-m", "charaforge.cli.main", *_curate(folder, warehouse)]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - start


@pytest.mark.launch
def test_killed_runs_end_in_the_same_table(tmp_path: Path) -> None:
    _draw(tmp_path / "in", 90)
    seconds = _uninterrupted(tmp_path / "in", tmp_path / "whole")
    assert _killed_and_finished(tmp_path / "in", tmp_path / "killed", 3, seconds) > 0
    assert _rows(tmp_path / "killed") == _rows(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.launch
def test_ten_kills_of_two_thousand_pictures(tmp_path: Path) -> None:
    """Must show 6."""
    _draw(tmp_path / "in", 2000, side=512)
    for number in range(20):
        source = tmp_path / "in" / "batch0" / f"{number * 3:05}.png"
        Image.open(source).resize((400, 400)).save(tmp_path / "in" / f"copy{number}.jpg", quality=80)
    seconds = _uninterrupted(tmp_path / "in", tmp_path / "whole")
    hits = _killed_and_finished(tmp_path / "in", tmp_path / "killed", 10, max(3.0, seconds / 5))
    assert hits >= 9
    assert _rows(tmp_path / "killed") == _rows(tmp_path / "whole")
