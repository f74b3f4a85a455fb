"""`charaforge sheet`: views, expressions, poses and outfits of a LoRA as one labelled picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from charaforge.cli.eval_options import lora_name, record_of, trigger_of
from charaforge.errors import ExitCode, UsageError
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.recommended import recommended_weight
from charaforge.warehouse.registry import Registry

NAME = "sheet"
HELP = "draw a character sheet of a LoRA: views, expressions, poses, outfits as one labelled picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("lora", metavar="LORA", help="its name or its folder; NAME@STEP works")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="PNG file [default: sheet.png in the warehouse's outputs]"
    )
    parser.add_argument("--model", metavar="NAME", help="base model [default: the LoRA's]")
    parser.add_argument(
        "--character",
        metavar="NAME",
        help="title, and the trigger word of a LoRA that does not say its own [default: its trigger word]",
    )
    parser.add_argument("--weight", type=float, metavar="W", help="of the LoRA [default: the chosen one]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of every picture [default: 1]")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="denoising steps [default: 20]")


def run(args: argparse.Namespace) -> int:
    """Draw the sheet; print where it is."""
    if args.out and (args.out.suffix.lower() != ".png" or args.out.is_dir()):
        raise UsageError(f"--out {args.out}", "give a file that ends in .png")
    warehouse = bootstrap()
    name = lora_name(args.lora, warehouse)
    record = record_of(name, warehouse)
    model = args.model or (record and record.model_id)
    if not model:
        raise UsageError(f"nothing says for which base model {name} was made", "give it with --model")
    from charaforge.config import parse
    from charaforge.forge.sheet import SheetPlan, draw_sheet, usual_outfit

    character = args.character or (trigger_of(name, warehouse) if record else name)
    table = record.table if record else None
    told = {
        "lora": name,
        "model": model,
        "character": character,
        "trigger": "" if record else args.character or "",
        "outfit": usual_outfit(table, character) if table and table.is_file() else "",
        "weight": recommended_weight(name, Registry(warehouse)) if args.weight is None else args.weight,
        "seed": args.seed,
        "steps": args.steps,
        "out": (args.out or warehouse.outputs / "sheets" / name / "sheet.png").absolute(),
    }
    print(f"sheet: {draw_sheet(parse(SheetPlan, told, 'charaforge sheet'), warehouse)}")
    return ExitCode.PASS
