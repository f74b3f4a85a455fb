"""`benchmarks/forge.py`: its characters are its own, its tables tell what was measured and what was not."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from charaforge.evaluation.poses import assign_poses, read_target
from charaforge.evaluation.prompts import load_prompts

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "benchmarks" / "forge.py"
QUICK = "--only 1 --steps 4 --checkpoints 2 --max-prompts 2 --seeds 1 --sampling-steps 4 --regret"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_forge", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(**changes: Any) -> dict[str, Any]:
    told = {
        "seed": 31_001,
        "name": "mochi",
        "signature": "aqua horns",
        "low": 0.9,
        "ccr": 0.97,
        "trigger": 0.0,
    }
    told |= {"traits": 0.1, "traits_high": 0.2, "gain_low": 0.7, "seen": 1.0, "step": 350, "weight": 1.0}
    told |= {"tags": 0.95, "posed": 0.96, "pose_cost": -0.01, "pck_t20": 0.9, "pck_h5_limbs": 0.8}
    return told | {"posed_tags": 0.9, "training_s": 60.0, "verdict": "passed"} | changes


def test_the_characters_are_named_nowhere_else(bench: ModuleType) -> None:
    assert len(set(bench.SEEDS)) == 10
    named = re.compile(r"\b31_?0(0[1-9]|10)\b")
    places = [p for folder in ("charaforge", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py")]
    found = [p for p in places if named.search(p.read_text(encoding="utf-8"))]
    assert set(found) <= {FILE, Path(__file__)}


def test_every_prompt_finds_a_pose_of_its_tag_and_its_framing(bench: ModuleType, tmp_path: Path) -> None:
    bench.draw_poses(tmp_path)
    prompts = load_prompts(ROOT / "docs" / "prompts" / "charA_fresh_prompts.json")

    def read(path: Path) -> Any:
        return read_target(path, 128, None)  # key points need no estimator

    found = assign_poses(prompts, tmp_path, read)
    for prompt in prompts:
        path = found[prompt.id]
        assert path.stem.rstrip("_1234").replace("_", " ") in prompt.expected_tags
        to_the_feet = bool((read(path)[[10, 13], 2] > 0).any())
        assert to_the_feet == ("full body" in prompt.expected_tags), path.name


def test_bars_are_met_or_not(bench: ModuleType) -> None:
    rows = [row(seed=seed) for seed in bench.SEEDS]
    assert bench.table(rows).count("| yes |") == 3
    failing = [*rows[:7], *(row(low=0.7, verdict="not passed") for _ in range(3))]
    assert "| lower bound from 0.8 | 7 of 10 | 8 of 10 | no |" in bench.table(failing)
    assert bench.table(failing).count("not passed") == 3, "failures are shown"
    assert "-0.100 | -0.05 or more | no |" in bench.table([row(pose_cost=-0.1)])


def test_what_could_not_be_measured_is_shown(bench: ModuleType) -> None:
    lost = {"seed": 31_002, "name": "lost", "verdict": "not measurable", "why": "5 references"}
    told = bench.table([row(), lost])
    assert "not measurable: 5 references" in told
    lines = [line for line in told.partition("\n\n")[0].splitlines()]
    assert len({line.count("|") for line in lines}) == 1, "every row has all columns"
    assert "1 of 2" in told


def test_the_cost_of_the_choice(bench: ModuleType) -> None:
    told = {"seed": 31_001, "name": "mochi", "pictures": 1000, "shares": {50: 0.9, 100: 0.97}, "chosen": 50}
    assert "| 0.070 | at most 0.05 | no |" in bench.regret_table([told | {"regret": 0.07}])
    assert "| 0.000 | at most 0.05 | yes |" in bench.regret_table([told | {"regret": 0.0}])


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(FILE), "--work", str(tmp_path), *QUICK.split(), "--fresh-pictures", "2"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert "| 31001 |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "| 31001 |" in (tmp_path / "regret.md").read_text(encoding="utf-8")
