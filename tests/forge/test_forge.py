"""`charaforge forge` on the embedded models, as small as can be: killed with -9, run again, compared."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from charaforge.cli.main import main
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.warehouse.layout import Warehouse

SMALL = ("--steps", "4", "--checkpoints", "2", "--max-prompts", "2", "--seeds", "1", "--no-sheet")
LORA = "mochi_mini-sd_r8"
KILLS = 10


class Forging:
    """One folder of pictures, one warehouse, one command.

    Args:
        root: Where everything lies.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.out, self.log = root, root / "out", root / "log.txt"
        self.warehouse = Warehouse(root / "warehouse")
        draw_character(Character.from_seed(5), root / "drawn", 36, self.warehouse)
        self.pictures = root / "pictures"
        self.pictures.mkdir()
        for picture in (root / "drawn").glob("*.png"):
            picture.rename(self.pictures / picture.name)

    def start(self, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "charaforge.cli.main", "forge", str(self.pictures)]
        command += ["--character", "mochi", "--model", "mini-sd", "--out", str(self.out), *SMALL, *more]
        command += ["--sampling-steps", "2"]
        settings = {**os.environ, "AI_CACHE_ROOT": str(self.warehouse.root)}
        with self.log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                command, env=settings, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )

    def run(self, *more: str) -> tuple[int, str]:
        process = self.start(*more)
        told = process.communicate(timeout=600)[0]
        return process.returncode, told

    def kill_after(self, seconds: float) -> bool:
        """Kill it with all its children; False where it had ended before."""
        process = self.start()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        return process.returncode == -signal.SIGKILL

    def forget(self) -> None:
        for folder in (self.out, self.warehouse.root):
            shutil.rmtree(folder, ignore_errors=True)

    def errors(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def numbers(self) -> dict[str, Any]:
        told = json.loads((self.out / "report.json").read_text(encoding="utf-8"))
        del told["seconds"]
        return dict(told)


@pytest.fixture(scope="module")
def forging(tmp_path_factory: pytest.TempPathFactory) -> Forging:
    return Forging(tmp_path_factory.mktemp("forging"))


@pytest.fixture(scope="module")
def whole(forging: Forging) -> tuple[dict[str, Any], float]:
    """The numbers of a run that nobody stopped, and how long it took, s."""
    started = time.monotonic()
    code, told = forging.run()
    seconds = time.monotonic() - started
    assert code == 4, forging.errors()[-3000:]
    assert "NOT PASSED: mochi is recognised in" in told
    check_what_is_there(forging)
    return forging.numbers(), seconds


def check_what_is_there(forging: Forging) -> None:
    lora = forging.warehouse.lora_folder(LORA)
    record = json.loads((forging.out / "forge.json").read_text(encoding="utf-8"))
    done = {name for name, one in record["steps"].items() if one["state"] == "done"}
    assert done == {"curate", "decide", "train", "choose"}, "no sheet was asked for"
    assert record["steps"]["curate"]["result"]["splits"]["ref"] == 8
    assert [path.name for path in sorted((lora / "checkpoints").iterdir())] == [
        f"{LORA}-step0000000{step}.safetensors" for step in (2, 4)
    ]
    certificate = (lora / "CERTIFICATE.md").read_text(encoding="utf-8")
    assert certificate.startswith(f"# No certificate: {LORA}\n")
    assert "Short: 2 prompts × 1 seed." in certificate
    assert "2 checkpoints on 2 × 1 pictures, " in certificate
    assert "| impostors from gallery.npz |" in certificate
    assert "## Measured" in (lora / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert record["result"]["ccr_low"] == json.loads((lora / "chosen.json").read_text())["ccr_low"]


@pytest.mark.launch
def test_killed_once_it_goes_on_to_the_same_numbers(
    forging: Forging, whole: tuple[dict[str, Any], float]
) -> None:
    killed_somewhere(forging, whole, seed=int(time.time()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_any_moment(forging: Forging, whole: tuple[dict[str, Any], float], seed: int) -> None:
    killed_somewhere(forging, whole, seed)


def killed_somewhere(forging: Forging, whole: tuple[dict[str, Any], float], seed: int) -> None:
    numbers, seconds = whole
    forging.forget()
    moment = random.Random(seed).uniform(0.05, 0.95) * seconds
    killed = forging.kill_after(moment)
    code, _ = forging.run()
    assert code == 4, f"killed: {killed}, after {moment:.1f} s, seed {seed}"
    assert forging.numbers() == numbers, f"killed: {killed}, after {moment:.1f} s, seed {seed}"


@pytest.mark.launch
def test_a_finished_forging_says_the_same_again_at_once(
    forging: Forging,
    whole: tuple[dict[str, Any], float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = {path: path.stat().st_mtime_ns for path in (forging.out / "pictures").rglob("*.png")}
    code, told = forging.run()
    assert code == 4
    assert "NOT PASSED" in told
    assert {p: p.stat().st_mtime_ns for p in (forging.out / "pictures").rglob("*.png")} == pictures
    assert "train: done before" in forging.errors()
    assert forging.numbers() == whole[0]
    (line,) = (line for line in told.splitlines() if line.startswith("use it:"))
    assert f"--lora {LORA}:1 --model mini-sd" in line
    words = shlex.split(line.removeprefix("use it:"))[1:]
    monkeypatch.setenv("AI_CACHE_ROOT", str(forging.warehouse.root))
    assert main([*words, "--steps", "1", "--seed", "1", "--out", str(tmp_path / "used")]) == 0
    assert list((tmp_path / "used").rglob("*.png"))


@pytest.mark.launch
def test_a_report_of_another_version_is_made_anew(
    forging: Forging, whole: tuple[dict[str, Any], float]
) -> None:
    report = forging.out / "report.json"
    report.write_text('{"status": "measured", "schema_version": 1}', encoding="utf-8")
    code, _ = forging.run()
    assert code == 4, forging.errors()[-3000:]
    assert forging.numbers() == whole[0]


@pytest.mark.launch
@pytest.mark.usefixtures("whole")
def test_a_budget_of_a_second_is_told_what_it_would_take(forging: Forging) -> None:
    code, _ = forging.run("--budget", "1s")
    assert code == 2
    assert "a budget of 1 s is too small: here the least (4 steps, " in forging.errors()
    assert "give --budget " in forging.errors()


@pytest.mark.launch
@pytest.mark.usefixtures("whole")
def test_other_settings_train_anew_and_mix_no_checkpoints(forging: Forging) -> None:
    code, _ = forging.run("--steps", "2", "--checkpoints", "1")
    assert code == 4, forging.errors()[-3000:]
    lora = forging.warehouse.lora_folder(LORA)
    assert [path.name for path in (lora / "checkpoints").iterdir()] == [f"{LORA}-step00000002.safetensors"]
    assert (lora / "state-1").is_dir()
    kept = sorted(path.name for path in (lora / "checkpoints-1").iterdir())
    trained = [f"{LORA}-step0000000{step}.safetensors" for step in (2, 4)]
    assert kept == ["CERTIFICATE.md", "chosen.json", *trained]
    assert f"sha256 {json.loads((lora / 'chosen.json').read_text())['lora_sha256'][:16]}" in (
        lora / "CERTIFICATE.md"
    ).read_text(encoding="utf-8")
