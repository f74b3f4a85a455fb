"""Ten new mini characters through `charaforge forge` with one configuration; the table of docs/benchmarks.md.

    python benchmarks/forge.py --work FOLDER [--only N …] [--regret]

Nothing was tuned on these characters: neither base nor identity model have seen them, and no other file
names them. Each has a warehouse of its own below FOLDER, so the order does not matter. Killed and started
again it goes on; without --only it ends with the table of all, whatever was measured one by one before.
``--regret`` renders 1,000 fresh pictures of every checkpoint of the first three and tells how far the chosen
one is from the best. `table.md`, `regret.md` and `results.json` lie in FOLDER.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from charaforge import logs
from charaforge.cli.shipped import FRESH_PROMPTS, PROMPTS, shipped
from charaforge.errors import NotMeasurableError
from charaforge.evaluation.arms import Arm
from charaforge.evaluation.checkpoints import checkpoints_of
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.report.schema import read_report
from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.scoring import Sitting
from charaforge.evaluation.session import Session
from charaforge.evaluation.study import prepare
from charaforge.forge.plan import ForgePlan
from charaforge.forge.road import RECORD, forge
from charaforge.generation.generator import Generator
from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.mini.render import keypoints
from charaforge.mini.scenes import sample_scene
from charaforge.warehouse.atomic import write_json, write_text
from charaforge.warehouse.layout import Warehouse

SEEDS = tuple(range(31_001, 31_011))
"""The characters."""

BASE, PICTURES, SIDE = "mini-sd", 64, 256
BAR, LEARNT = 0.80, 8
POSE_COST = 0.05
REGRET, REGRET_CHARACTERS, FRESH_PICTURES = 0.05, 3, 1000
_FRESH_SEED = 500_000
_POSES_EACH = 2


class Trial:
    """One character and everything that is made for it.

    Args:
        seed: The character.
        work: Folder of all characters.
        changes: What differs from the shared configuration, for a quick look.
    """

    def __init__(self, seed: int, work: Path, changes: dict[str, Any]) -> None:
        self.character = Character.from_seed(seed)
        self.place = work / str(seed)
        self.warehouse = Warehouse(self.place / "warehouse")
        self.lora = f"{self.character.trigger}_{BASE}_r8"
        self._changes = changes

    def measure(self) -> dict[str, Any]:
        """Forge it, or go on with it; return its row."""
        for folder in self.warehouse.folders:
            folder.mkdir(parents=True, exist_ok=True)
        draw_poses(self.place / "poses")
        try:
            evaluation = forge(self.plan(), self.warehouse).evaluation
        except NotMeasurableError as error:
            return self._named() | {"verdict": "not measurable", "why": error.message}
        return self._named() | row_of(evaluation) | {"training_s": self._seconds("train")}

    def plan(self) -> ForgePlan:
        """The shared configuration: what `charaforge forge` does by itself, with poses, without a sheet."""
        told = {
            "folder": self._drawn(),
            "character": self.character.trigger,
            "model": BASE,
            "lora": self.lora,
            "dataset": self.character.trigger,
            "out": self.place / "out",
            "prompts": shipped(PROMPTS),
            "fresh_prompts": shipped(FRESH_PROMPTS),
            "pose_dir": self.place / "poses",
            "sheet": False,
            "command": f"charaforge forge pictures --character {self.character.trigger} --model {BASE}",
        }
        return ForgePlan.model_validate(told | self._changes)

    def regret(self, pictures: int) -> dict[str, Any]:
        """True shares of all checkpoints on fresh pictures, and what the choice cost."""
        report = read_report(self.place / "out" / "report.json")
        if not isinstance(report, Evaluation) or report.choice is None:
            return self._named() | {"regret": None, "why": "it was not measurable"}
        known = checkpoints_of(self.lora, self.warehouse, 64)
        plan = self._fresh_plan(known[-1].name)
        study = prepare(plan, self.warehouse)
        seeds = max(1, pictures // len(study.prompts))
        sitting = Sitting(study.prompts, _FRESH_SEED, seeds)
        session = Session(study, Generator(self.warehouse))
        chosen = report.choice.step or 0
        screened = {one.step: one.screened or 0.0 for one in report.choice.checkpoints}
        shares: dict[int, float] = {}
        told: dict[str, Any] = {}
        for one in sorted(
            known, key=lambda c: (c.step != chosen, -screened[c.step])
        ):  # the likely ones first
            arm = Arm(f"true-{one.step:08d}", f"Step {one.step}", self.character.trigger, one.name)
            seen = session.show([arm], sitting)[arm.name]
            shares[one.step] = float(study.yardstick.standard.judge(seen).accepted.mean())
            found = {"shares": dict(sorted(shares.items())), "chosen": chosen, "pictures": sitting.pictures}
            told = self._named() | found | {"regret": max(shares.values()) - shares[chosen]}
            write_json(self.place / "regret.json", told | {"to come": len(known) - len(shares)})
        return told

    def _fresh_plan(self, lora: str) -> EvaluationPlan:
        asked = self.plan()
        record = json.loads((self.place / "out" / RECORD).read_text(encoding="utf-8"))
        return EvaluationPlan(
            lora=lora,
            model=BASE,
            table=Path(record["steps"]["curate"]["result"]["table"]),
            character=self.character.trigger,
            prompts=shipped(FRESH_PROMPTS),
            max_prompts=asked.max_prompts,
            steps=asked.sampling_steps,
            out=self.place / "regret",
        )

    def _drawn(self) -> Path:
        """Its pictures, and no word about them."""
        folder, drawing = self.place / "pictures", self.place / ".drawing"
        if not folder.is_dir():
            draw_character(self.character, drawing, PICTURES, self.warehouse, side=SIDE)
            for told in (*drawing.glob("*.txt"), drawing / "metadata.csv"):
                told.unlink()
            drawing.rename(folder)
        return folder

    def _named(self) -> dict[str, Any]:
        return {"seed": self.character.seed, "name": self.character.trigger}

    def _seconds(self, step: str) -> float:
        record = json.loads((self.place / "out" / RECORD).read_text(encoding="utf-8"))
        return float(record["steps"][step]["seconds"])


def row_of(e: Evaluation) -> dict[str, Any]:
    """What the table tells of one character."""
    lora, posed, choice = e.arm("lora"), e.arm("posed"), e.choice
    assert choice is not None
    assert e.pose_cost is not None
    assert lora.signature is not None
    return {
        "signature": e.signature,
        "low": lora.accepted.low,
        "ccr": lora.accepted.estimate,
        "trigger": e.arm("trigger").accepted.estimate,
        "traits": e.arm("traits").accepted.estimate,
        "traits_high": e.arm("traits").accepted.high,
        "gain_low": e.gain.low,
        "seen": lora.signature.estimate,
        "step": choice.step,
        "weight": choice.weight,
        "tags": lora.measure("tag_recall").estimate,
        "posed": posed.accepted.estimate,
        "pose_cost": e.pose_cost.estimate,
        "pck_t20": posed.measure("pck_t20").estimate,
        "pck_h5_limbs": posed.measure("pck_h5_limbs").estimate,
        "posed_tags": posed.measure("tag_recall").estimate,
        "pictures": lora.accepted.pictures,
        "verdict": "passed" if e.passed else "not passed",
    }


def draw_poses(folder: Path) -> None:
    """Write key points of every pose of the mini world, as JSON files that are called like its tags.

    Those that the arms alone tell are there twice: to the feet, and to the hips.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [(pose, "full body") for pose in world.POSES]
    kinds += [(pose, "upper body") for pose in world.UPPER_BODY_POSES]
    for pose, framing in kinds:
        for turn in range(_POSES_EACH):
            number = 1 + turn + (_POSES_EACH if framing == "upper body" else 0)
            scene = sample_scene(random.Random(f"forge pose {pose} {turn}"))
            points = keypoints(replace(scene, pose=pose, framing=framing))
            told = {
                "canvas_width": world.NATIVE_SIDE,
                "canvas_height": world.NATIVE_SIDE,
                "people": [{"pose_keypoints_2d": points.ravel().tolist()}],
            }
            write_json(folder / f"{pose.replace(' ', '_')}_{number}.json", told)


_COLUMNS = {
    "low": "lower bound",
    "ccr": "CCR",
    "trigger": "base + trigger",
    "traits": "base + traits",
    "gain_low": "gain, lower bound",
    "seen": "signature seen",
    "tags": "tag recall",
    "posed": "CCR with pose",
    "pose_cost": "difference",
    "pck_t20": "pck_t20",
    "pck_h5_limbs": "pck_h5_limbs",
    "posed_tags": "tag recall with pose",
}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows and bars as Markdown."""
    heads = ["seed", "name", "signature", "chosen", *_COLUMNS.values(), "training s", "verdict"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        if row["verdict"] == "not measurable":
            blanks = " | ".join("–" * (len(heads) - 4))
            lines.append(f"| {row['seed']} | {row['name']} | – | {blanks} | not measurable: {row['why']} |")
            continue
        numbers = " | ".join("–" if row[key] is None else f"{row[key]:.3f}" for key in _COLUMNS)
        chosen = f"step {row['step']} at {row['weight']:g}"
        told = f"{row['seed']} | {row['name']} | {row['signature']} | {chosen} | {numbers}"
        lines.append(f"| {told} | {row['training_s']:.0f} | {row['verdict']} |")
    return "\n".join([*lines, "", *_bars(rows)]) + "\n"


def _bars(rows: Sequence[dict[str, Any]]) -> list[str]:
    measured = [row for row in rows if row["verdict"] != "not measurable"]
    if not measured:
        return []
    passed = sum(row["low"] >= BAR for row in measured)
    wanted = LEARNT * len(rows) / len(SEEDS)
    apart = sum(row["gain_low"] > 0 and row["traits_high"] < row["low"] for row in measured)
    cost = sum(row["pose_cost"] for row in measured) / len(measured)
    told = [
        (
            f"lower bound from {BAR:g}",
            f"{passed} of {len(rows)}",
            f"{LEARNT} of {len(SEEDS)}",
            passed >= wanted,
        ),
        ("base + traits clearly below", f"{apart} of {len(rows)}", "those that pass", apart >= passed),
        ("CCR with pose minus without, mean", f"{cost:+.3f}", f"-{POSE_COST:g} or more", cost >= -POSE_COST),
    ]
    lines = ["| bar | measured | wanted | met |", "|---|---|---|---|"]
    return lines + [f"| {a} | {b} | {c} | {'yes' if met else 'no'} |" for a, b, c, met in told]


def regret_table(rows: Sequence[dict[str, Any]]) -> str:
    """The cost of the choice as Markdown."""
    lines = [
        "| seed | name | pictures | share by step | chosen | best - chosen | wanted | met |",
        "|" + "---|" * 8,
    ]
    for row in rows:
        if row["regret"] is None:
            lines.append(f"| {row['seed']} | {row['name']} | – | {row['why']} | – | – | – | no |")
            continue
        shares = ", ".join(f"{step}: {share:.3f}" for step, share in row["shares"].items())
        told = f"{row['seed']} | {row['name']} | {row['pictures']} | {shares} | {row['chosen']}"
        met = "yes" if row["regret"] <= REGRET else "no"
        lines.append(f"| {told} | {row['regret']:.3f} | at most {REGRET:g} | {met} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for and write the tables."""
    args = _options(argv)
    logs.configure()
    given = {
        key: getattr(args, key) for key in ("steps", "checkpoints", "max_prompts", "seeds", "sampling_steps")
    }
    changes = {key: value for key, value in given.items() if value is not None}
    chosen = [SEEDS[number - 1] for number in args.only or range(1, len(SEEDS) + 1)]
    trials = [Trial(seed, args.work.absolute(), changes) for seed in chosen]
    rows = []
    for trial in trials:
        rows.append(trial.measure())
        write_json(args.work / "results.json", rows)
        write_text(args.work / "table.md", table(rows))
    print(table(rows))
    if args.regret:
        found = [trial.regret(args.fresh_pictures) for trial in trials[:REGRET_CHARACTERS]]
        write_json(args.work / "regret.json", found)
        write_text(args.work / "regret.md", regret_table(found))
        print(regret_table(found))
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="where everything lies")
    parser.add_argument(
        "--only", type=int, nargs="+", choices=range(1, len(SEEDS) + 1), metavar="N", help="which of the ten"
    )
    parser.add_argument("--regret", action="store_true", help="also what the choice cost, on the first three")
    quick = parser.add_argument_group("for a quick look that proves nothing")
    for name in ("steps", "checkpoints", "max-prompts", "seeds", "sampling-steps"):
        quick.add_argument(f"--{name}", type=int, metavar="N")
    quick.add_argument("--fresh-pictures", type=int, default=FRESH_PICTURES, metavar="N")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
