"""LoRAs of five new characters against their bars, through the commands that users type.

Per character: draw it and a lookalike, train a LoRA of each, and evaluate 40 prompts × 4 seeds in four arms.
Stopped work goes on where it was; pictures and LoRAs that are there are not made again.

    python -m charaforge.mini.measure.lora_bars --out FOLDER
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.mini.characters import Character
from charaforge.mini.measure.bars import Bar
from charaforge.warehouse.atomic import write_json, write_text
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse

SEEDS = (101, 102, 103, 104, 105)
"""The characters; nothing in the product was tuned on them."""

PROMPTS = Path("docs/prompts/charA_eval_prompts.json")
_PICTURES_PER_PROMPT = 4
_LEARNT = 0.80
_COMMANDS_FAIL_WITH = (1, 2, 3)

BARS = {
    "base + trigger, worst": Bar(0.10, at_most=True),
    "base + traits in words, worst": Bar(0.30, at_most=True),
    f"characters learnt (LoRA from {_LEARNT:g})": Bar(4),
    "gain over words, lower bound, worst": Bar(0.30),
    "lookalike's LoRA, worst": Bar(0.10, at_most=True),
    "training, s, worst": Bar(90, at_most=True),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One character: shares of accepted pictures, 0 to 1.

    Attributes:
        seed: The character.
        name: Its trigger word.
        signature: The signature trait that the second judge sees in real pictures.
        trigger: Base + trigger.
        traits: Base + traits in words.
        lora: LoRA.
        lora_low: Lower bound of it.
        gain_low: Lower bound of LoRA minus traits, paired by prompt.
        seen: Share of the LoRA's pictures in which the second judge sees the signature trait.
        lookalike: The lookalike's LoRA, scored as the character.
        real: Real pictures.
        training_s: Wall time of the training command, model loading included, s.
    """

    seed: int
    name: str
    signature: str
    trigger: float
    traits: float
    lora: float
    lora_low: float
    gain_low: float
    seen: float
    lookalike: float
    real: float
    training_s: float


def measure(out: Path, warehouse: Warehouse, seeds: Sequence[int] = SEEDS) -> list[Row]:
    """Measure the characters one after another; ``out`` keeps everything but the LoRAs."""
    return [_measure_one(seed, out / str(seed), warehouse) for seed in seeds]


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """What the bars are about: the worst character counts, except for the number that a LoRA has learnt."""
    return {
        "base + trigger, worst": max(row.trigger for row in rows),
        "base + traits in words, worst": max(row.traits for row in rows),
        f"characters learnt (LoRA from {_LEARNT:g})": sum(row.lora >= _LEARNT for row in rows),
        "gain over words, lower bound, worst": min(row.gain_low for row in rows),
        "lookalike's LoRA, worst": max(row.lookalike for row in rows),
        "training, s, worst": max(row.training_s for row in rows),
    }


def table(rows: Sequence[Row]) -> str:
    """The rows and bars as Markdown."""
    lines = [
        "| seed | name | signature | base + trigger | base + traits | LoRA | lower bound | gain, lower bound "
        "| signature seen | lookalike's LoRA | real | training s |",
        "|" + "---|" * 12,
    ]
    for r in rows:
        shares = (r.trigger, r.traits, r.lora, r.lora_low, r.gain_low, r.seen, r.lookalike, r.real)
        told = " | ".join(f"{share:.3f}" for share in shares)
        lines.append(f"| {r.seed} | {r.name} | {r.signature} | {told} | {r.training_s:.0f} |")
    lines += ["", "| figure | measured | wanted | met |", "|---|---|---|---|"]
    for name, value in figures(rows).items():
        bar = BARS[name]
        lines.append(f"| {name} | {value:.3f} | {bar} | {'yes' if bar.met(value) else 'no'} |")
    return "\n".join(lines) + "\n"


def _measure_one(seed: int, out: Path, warehouse: Warehouse) -> Row:
    itself, other = Character.from_seed(seed), Character.from_seed(seed).lookalike()
    loras = {}
    for character, extra in ((itself, []), (other, ["--lookalike", "0"])):
        pictures = out / character.trigger
        if not (pictures / "metadata.csv").is_file():
            _charaforge("mini", "draw", "--character", str(seed), *extra, "--out", str(pictures))
        loras[character.trigger] = f"bars-{seed}-{character.trigger}"
        _train(pictures, character.trigger, warehouse.lora_folder(loras[character.trigger]))
    words = ["--lora", loras[itself.trigger], "--lookalike", loras[other.trigger], "--prompts", str(PROMPTS)]
    _charaforge("eval", *words, "--seeds", str(_PICTURES_PER_PROMPT), "--out", str(out))
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    seconds = json.loads((out / itself.trigger / "training_s.json").read_text(encoding="utf-8"))
    return _row(seed, report, seconds)


def _train(pictures: Path, word: str, lora: Path) -> None:
    """Train, unless that is done; ``training_s.json`` says how long it took from a first call to its end."""
    clock = pictures / "training_s.json"
    if clock.is_file():
        return
    started = time.monotonic()
    table = str(pictures / "metadata.csv")
    _charaforge("train", "--data", table, "--character", word, "--model", "mini-sd", "--out", str(lora))
    write_json(clock, time.monotonic() - started)


def _row(seed: int, report: dict[str, Any], training_s: float) -> Row:
    arms = {arm["name"]: arm for arm in report["arms"]}
    accepted = {name: arm["accepted"]["estimate"] for name, arm in arms.items()}
    seen = arms["lora"]["signature"]
    return Row(
        seed,
        report["character"],
        report["signature"],
        accepted["trigger"],
        accepted["traits"],
        accepted["lora"],
        arms["lora"]["accepted"]["low"],
        report["gain"]["low"],
        seen["estimate"] if seen else float("nan"),
        accepted["lookalike"],
        report["ceiling"]["accepted"]["estimate"],
        training_s,
    )


def _charaforge(*words: str) -> None:
    """Run one command; code 4 (measured, below the bar) is a result, not a fault."""
    command = [sys.executable, "-m", "charaforge.cli.main", *words]
    code = subprocess.run(command, check=False).returncode
    if code in _COMMANDS_FAIL_WITH or code < 0 or code > 4:
        raise RuntimeError(f"charaforge {' '.join(words)} ended with code {code}")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of pictures and reports")
    arguments = parser.parse_args()
    told = table(measure(arguments.out, bootstrap()))
    write_text(arguments.out / "lora_bars.md", told)
    sys.stdout.write(told)


if __name__ == "__main__":
    main()
