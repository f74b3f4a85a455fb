"""`charaforge forge`: a folder of pictures in, a proven LoRA, its reports and a character sheet out."""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charaforge.cli.eval_options import is_given
from charaforge.cli.shipped import FRESH_PROMPTS, PROMPTS, shipped
from charaforge.errors import ExitCode, NotMeasurableError, UsageError
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.forge.plan import ForgePlan
    from charaforge.forge.road import ForgeEnd
    from charaforge.warehouse.layout import Warehouse

NAME = "forge"
HELP = "a folder of pictures in; a LoRA proven by numbers, its certificate and a character sheet out"

_UNITS = {"s": 1, "m": 60, "h": 3600}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="pictures of the character; they are not changed"
    )
    parser.add_argument("--character", required=True, metavar="NAME", help="its name, the trigger word")
    parser.add_argument("--model", "--base", metavar="MODEL", help="base model [default: DEFAULT_MODEL]")
    parser.add_argument(
        "--lora", metavar="NAME", help="name of the LoRA [default: of character, base and rank]"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of forge.json and reports [default: in the warehouse]"
    )
    parser.add_argument("--prompts", type=Path, metavar="JSON", help="to choose with [default: shipped]")
    parser.add_argument(
        "--fresh-prompts",
        type=Path,
        metavar="JSON",
        help="of the published numbers [default: shipped]",
    )
    parser.add_argument("--impostors", type=Path, metavar="DIR|TABLE", help="other characters")
    parser.add_argument("--pose_dir", type=Path, metavar="DIR", help="poses to measure pose fidelity with")
    add_extent(parser)


def add_extent(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how much is spent."""
    parser.add_argument(
        "--budget", metavar="TIME", help="what may be spent after curation: 90s, 10m, 2h [default: no limit]"
    )
    parser.add_argument(
        "--certificate", action="store_true", help="publish from 100 prompts × 4 instead of 40 × 4"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="training steps [default: as suits the base]")
    parser.add_argument("--checkpoints", type=int, metavar="N", help="checkpoints, 1 to 64 [default: 8]")
    parser.add_argument("--max-prompts", type=int, metavar="N", help="prompts, 2 or more [default: 40]")
    parser.add_argument("--seeds", type=int, metavar="N", help="pictures per prompt [default: 4]")
    parser.add_argument("--sampling-steps", type=int, metavar="N", help="denoising steps [default: 20]")
    parser.add_argument("--no-sheet", action="store_true", help="draw no character sheet")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of the training configuration; repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Walk the road.

    Returns:
        0 when the lower bound reaches the bar, 3 when nothing can be measured, 4 when it is below the bar or
        the pictures are copies.
    """
    warehouse = bootstrap()
    return walk(plan_of(args, warehouse), warehouse)


def walk(plan: ForgePlan, warehouse: Warehouse) -> int:
    """Walk the road, tell how it ended, return the exit code.

    Raises:
        NotMeasurableError: told by the reports as well.
    """
    from charaforge.forge.road import REPORT, forge

    try:
        return tell(forge(plan, warehouse))
    except NotMeasurableError:
        print(f"not measurable\n\nreport:       {plan.out / REPORT}")
        raise


def tell(end: ForgeEnd) -> int:
    """Print the verdict and where everything is; return the exit code."""
    from charaforge.evaluation.verdict import verdict

    told = verdict(end.evaluation)
    print(f"\n{'PASSED' if told.passed else 'NOT PASSED'}: {told.headline}\n\n{told.paragraph}\n")
    print(f"LoRA:         {end.lora}\nreport:       {end.report}\ncertificate:  {end.certificate}")
    if end.sheet is not None:
        print(f"sheet:        {end.sheet}")
    measured = end.evaluation
    lora = f"--lora {measured.lora}:{measured.lora_weight:g} --model {measured.model}"
    print(f'use it:       charaforge generate --prompt "1girl, [character], smile" {lora}')
    steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in end.seconds.items())
    print(f"time:         {sum(end.seconds.values()):.0f} s ({steps})")
    return ExitCode.PASS if told.passed else ExitCode.FAILED


def plan_of(args: argparse.Namespace, warehouse: Warehouse) -> ForgePlan:
    """What the options say.

    Raises:
        UsageError, ConfigError: a value cannot be used.
    """
    from charaforge.config import parse
    from charaforge.config.settings import default_model
    from charaforge.curation.dataset import dataset_name
    from charaforge.forge.plan import ForgePlan
    from charaforge.training.presets import preset
    from charaforge.warehouse.registry import Registry

    base = Registry(warehouse).get(args.model or default_model(), "base")
    training = settings_of(args.set)
    rank = training.get("rank", preset(base).get("rank", 16))
    lora = args.lora or lora_id(args.character, base.name, rank)
    extent = {
        "budget_s": seconds_of(args.budget) if args.budget else None,
        "certificate": args.certificate,
        "sheet": not args.no_sheet,
        **{key: value for key in _COUNTS if (value := getattr(args, key)) is not None},
    }
    told = {
        "folder": args.folder.absolute(),
        "character": args.character,
        "model": base.name,
        "lora": lora,
        "dataset": dataset_name(args.character),
        "out": (args.out or warehouse.outputs / "forge" / lora).absolute(),
        "prompts": (args.prompts or shipped(PROMPTS)).absolute(),
        "fresh_prompts": _fresh(args),
        "impostors": args.impostors and args.impostors.absolute(),
        "pose_dir": args.pose_dir and args.pose_dir.absolute(),
        "training": training,
        "command": command_of(args),
        **extent,
    }
    return parse(ForgePlan, told, "charaforge forge")


def lora_id(character: str, base: str, rank: object) -> str:
    """The LoRA's name; where file names cannot spell the character, six digits of its sha256."""
    spelt = character
    if not character.isascii():
        spelt = f"{_spelt(character)}-{hashlib.sha256(character.encode()).hexdigest()[:6]}"
    return _spelt(f"{spelt}_{base}_r{rank}")


def _spelt(name: str) -> str:
    """A name with the signs that file names can have everywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")


def seconds_of(text: str) -> float:
    """90s, 10m, 1.5h, or plain minutes -> seconds.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if not match or not float(match[1]):
        raise UsageError(f"--budget {text}", "give a time like 90s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2] or "m"]


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as a training configuration would read them.

    Raises:
        UsageError: a pair has no "=".
    """
    import yaml

    told = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}", "give KEY=VALUE, e.g. --set learning_rate=0.001")
        told[key.strip()] = yaml.safe_load(value)
    return told


def command_of(args: argparse.Namespace) -> str:
    """The command line that goes on with it."""
    given = {key: value for key, value in vars(args).items() if is_given(value)}
    words = ["charaforge", "forge", str(given.pop("folder"))]
    for key, value in given.items():
        if key == "verbose":
            continue
        option = f"--{key if key == 'pose_dir' else key.replace('_', '-')}"
        for one in value if isinstance(value, list) else [value]:
            words += [option] if one is True else [option, str(one)]
    return shlex.join(words)


def _fresh(args: argparse.Namespace) -> Path | None:
    """The fresh prompts: those named, else the shipped ones beside the shipped prompts."""
    if args.fresh_prompts:
        return Path(args.fresh_prompts).absolute()
    return None if args.prompts else shipped(FRESH_PROMPTS)


_COUNTS = ("steps", "checkpoints", "max_prompts", "seeds", "sampling_steps")
