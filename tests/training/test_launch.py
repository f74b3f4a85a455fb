"""`accelerate launch train/lora_train.py` and `charaforge train` as users type them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charaforge.cli.main import main
from charaforge.training.journal import read_events
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_sd

SETTINGS = """\
model_id: tiny-sd
train_data_dir: {pictures}
output_dir: {out}
character: zxq
rank: 4
learning_rate: 1e-2
max_train_steps: 3
validate_every_steps: 2
caption_variants: 2
mixed_precision: "no"
train_batch_size: {batch}
"""


@pytest.fixture
def with_base(warehouse: Warehouse) -> Warehouse:
    tiny_sd(warehouse.sd / "tiny-sd")
    return warehouse


def launch(repository: Path, config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines=1", *options]
    command += ["train/lora_train.py", "--config", str(config)]
    return subprocess.run(
        command,
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=dict(os.environ),
    )


def write_config(folder: Path, pictures: Path, batch: int) -> Path:
    folder.mkdir()
    file = folder / "run.yaml"
    file.write_text(SETTINGS.format(pictures=pictures, out=folder / "zxq", batch=batch), encoding="utf-8")
    return file


def losses(folder: Path) -> dict[tuple[str, int], float]:
    found = read_events(folder / "zxq" / "events.jsonl")
    return {(e["event"], e["step"]): e["loss"] for e in found if "loss" in e}


@pytest.mark.launch
def test_two_processes_walk_the_way_of_one_with_twice_the_batch(
    with_base: Warehouse, pictures: Path, tmp_path: Path, repository: Path
) -> None:
    alone = launch(repository, write_config(tmp_path / "one", pictures, 4), "--num_processes=1")
    assert alone.returncode == 0, alone.stderr
    both = launch(repository, write_config(tmp_path / "two", pictures, 2), "--num_processes=2")
    assert both.returncode == 0, both.stderr
    assert "LoRA:" in both.stdout
    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert found.keys() == expected.keys()
    assert [found[k] for k in found if k[0] == "validation"] == pytest.approx(
        [expected[k] for k in found if k[0] == "validation"], rel=1e-3
    )


@pytest.mark.launch
def test_sigterm_saves_and_the_same_command_goes_on(
    with_base: Warehouse, pictures: Path, tmp_path: Path, repository: Path
) -> None:
    out = tmp_path / "zxq"
    command = [sys.executable, "-m", "charaforge.cli.main", "train", "--data", str(pictures)]
    command += ["--character", "zxq", "--model", "tiny-sd", "--out", str(out), "--steps", "12"]
    process = subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE, text=True)
    while sum(e["event"] == "step" for e in read_events(out / "events.jsonl")) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "the same command goes on" in told
    again = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on after step" in again.stderr
    events = list(read_events(out / "events.jsonl"))
    assert [e["step"] for e in events if e["event"] == "step"] == list(range(1, 13))


def test_a_dry_run_tells_everything_and_trains_nothing(
    with_base: Warehouse, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "0.txt").unlink()
    words = ["train", "--data", str(pictures), "--character", "zxq", "--model", "tiny-sd", "--dry-run"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "nothing was trained" in told
    assert "0.png: no caption" in told
    assert "1girl, zxq, " in told
    assert not list(with_base.lora.iterdir())


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--rank", "4"], 2),
        (["--config", "a.yaml", "--data", "b"], 2),
        (["--data", "b"], 2),
        (["--data", "b", "--character", "zxq", "--model", "tinysd"], 2),
        (["--data", "nowhere", "--character", "zxq", "--model", "tiny-sd"], 2),
        (["--data", "PICTURES", "--character", "zxq", "--model", "tiny-sd", "--rank", "0"], 2),
        (["--data", "EMPTY", "--character", "zxq", "--model", "tiny-sd"], 1),
    ],
)
def test_wrong_commands_are_refused(
    with_base: Warehouse, pictures: Path, tmp_path: Path, words: list[str], code: int
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"PICTURES": str(pictures), "EMPTY": str(tmp_path / "empty")}
    assert main(["train", *(places.get(word, word) for word in words)]) == code


def test_options_win_over_the_configuration_file(
    with_base: Warehouse, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "run", pictures, 4)
    assert main(["train", "--config", str(config), "--rank", "3", "--steps", "7", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "rank 3, alpha 1.5" in told
    assert "7 of 4 pictures" in told
