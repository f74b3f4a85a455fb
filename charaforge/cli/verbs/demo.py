"""`charaforge demo`: the whole road on a character that is drawn for it."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.cli.shipped import PROMPTS, shipped
from charaforge.config.settings import EMBEDDED_BASE
from charaforge.errors import ExitCode
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.forge.road import RoadPlan
    from charaforge.mini.characters import Character
    from charaforge.warehouse.layout import Warehouse

NAME = "demo"
HELP = "the whole road on a new character: draw, train, render, score, report"

_CHARACTER = 7
_PICTURES = 48
_SIDE = 512
_LEAST_GAIN = 0.30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--character",
        type=int,
        default=_CHARACTER,
        metavar="SEED",
        help=f"whom to draw [default: {_CHARACTER}]",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of pictures and report [default: in the warehouse]"
    )
    parser.add_argument("--prompts", type=int, default=40, metavar="N", help="prompts, 2 to 40 [default: 40]")
    parser.add_argument(
        "--seeds", type=int, default=2, metavar="N", help="pictures per prompt, 1 to 64 [default: 2]"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget what an earlier demo of this character did"
    )


def run(args: argparse.Namespace) -> int:
    """Walk the road, print verdict and report; exit code 4 when the LoRA is not clearly better than words."""
    from charaforge.mini.characters import Character

    warehouse = bootstrap()
    character = Character.from_seed(args.character)
    out = (args.out or warehouse.outputs / "demo" / f"character-{args.character}").absolute()
    lora = warehouse.lora_folder(f"{character.trigger}_mini_r8")
    if args.fresh:
        _forget(out, lora)
    started = time.monotonic()
    table, drawing_s = _draw(character, out, warehouse)
    from charaforge.evaluation.verdict import verdict
    from charaforge.forge.road import walk

    end = walk(_plan(args, character, table, out, lora, drawing_s), warehouse)
    told = verdict(end.evaluation)
    print(f"\n{told.headline}\n\n{told.paragraph}\n")
    print(f"LoRA:    {end.lora}\nreport:  {end.report}\ntime:    {time.monotonic() - started:.0f} s")
    return ExitCode.PASS if end.evaluation.gain.low >= _LEAST_GAIN else ExitCode.FAILED


def _forget(out: Path, lora: Path) -> None:
    for folder in (out, lora):
        if folder.is_dir():
            shutil.rmtree(folder)


def _draw(character: Character, out: Path, warehouse: Warehouse) -> tuple[Path, float]:
    """Draw the folder that stands for a user's own; its table is written last and marks that all is there."""
    from charaforge.mini.dataset import draw_character

    folder, started = out / "my_character", time.monotonic()
    table = folder / "metadata.csv"
    if not table.is_file():
        draw_character(character, folder, _PICTURES, warehouse, side=_SIDE)
    return table, time.monotonic() - started


def _plan(
    args: argparse.Namespace, character: Character, table: Path, out: Path, lora: Path, drawing_s: float
) -> RoadPlan:
    from charaforge.forge.road import RoadPlan

    given = [f"--out {args.out}"] if args.out else []
    options = [f"--character {args.character}", f"--prompts {args.prompts}", f"--seeds {args.seeds}", *given]
    return RoadPlan(
        table=table,
        character=character.trigger,
        model=EMBEDDED_BASE,
        lora=lora,
        prompts=shipped(PROMPTS),
        max_prompts=args.prompts,
        seeds=args.seeds,
        out=out,
        command=" ".join(["charaforge demo", *options]),
        seconds_before={"drawing": drawing_s},
    )
