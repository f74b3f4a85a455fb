"""`accelerate launch train/lora_train.py` and `charaforge train` as users type them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from charaforge.cli.main import main
from charaforge.training.journal import read_events
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_sd
from tests.training.test_resume import EVERYTHING

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


@pytest.mark.launch
def test_a_run_killed_at_random_steps_equals_one_that_was_not(
    with_base: Warehouse, pictures: Path, tmp_path: Path, repository: Path
) -> None:
    """§5-3, §5-7: kill -9 twice, with buckets, shuffle, dropouts, EMA and 8-bit Adam on; and equal hashes."""
    settings = {
        **EVERYTHING,
        "model_id": "tiny-sd",
        "train_data_dir": str(pictures),
        "character": "zxq",
        "caption_variants": 3,
        "mixed_precision": "no",
        "max_train_steps": 30,
        "validate_every_steps": 4,
        "train_batch_size": 3,
    }
    commands, files = [], []
    for name in ("whole", "again", "torn"):
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump(settings | {"output_dir": str(tmp_path / name / "zxq")}))
        commands.append([sys.executable, "-m", "charaforge.cli.main", "train", "--config", str(config)])
        files.append(tmp_path / name / "zxq" / "zxq.safetensors")
    for command in commands[:2]:
        subprocess.run(command, cwd=repository, capture_output=True, timeout=300, check=True)
    assert sha256(files[0].read_bytes()).digest() == sha256(files[1].read_bytes()).digest()
    chance = random.Random(os.getpid())
    for number in sorted(chance.sample(range(1, 29), 2)):
        kill_after(number, commands[2], files[2].parent, repository)
    subprocess.run(commands[2], cwd=repository, capture_output=True, timeout=300, check=True)
    assert files[2].read_bytes() == files[0].read_bytes()
    assert losses(tmp_path / "torn") == losses(tmp_path / "whole")
    state = load_file(next((files[2].parent / "state").glob("step*.safetensors")))
    assert any(value.dtype == torch.uint8 for value in state.values())
    assert any(name.startswith("ema.") for name in state)


def kill_after(number: int, command: list[str], out: Path, repository: Path) -> None:
    """Start a run and kill it as soon as it tells of a step."""
    process = subprocess.Popen(command, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(e["event"] == "step" and e["step"] >= number for e in read_events(out / "events.jsonl")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait(60)


def test_a_check_tells_everything_and_trains_nothing(
    with_base: Warehouse, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "0.png").write_bytes(b"broken")
    words = ["train", "--data", str(pictures), "--character", "zxq", "--model", "tiny-sd", "--check"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "nothing was trained" in told
    assert "0.png: is not a picture" in told
    assert "1girl, zxq, " in told
    assert "GiB at batch" in told
    (listed,) = (file for file in with_base.lora.rglob("*") if file.is_file())
    assert listed.name == "quarantine.tsv"
    assert listed.read_text(encoding="utf-8").endswith("0.png\tis not a picture\n")
    assert (pictures / "0.png").read_bytes() == b"broken"


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
    assert main(["train", "--config", str(config), "--rank", "3", "--steps", "7", "--check"]) == 0
    told = capsys.readouterr().out
    assert "rank 3, alpha 1.5" in told
    assert "7 of 4 pictures" in told
