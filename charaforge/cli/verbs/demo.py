"""`charaforge demo`: the whole road on a character that is drawn for it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.cli.shipped import FRESH_PROMPTS, PROMPTS, shipped
from charaforge.cli.verbs import forge as forge_verb
from charaforge.config.settings import EMBEDDED_BASE
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.forge.plan import ForgePlan
    from charaforge.mini.characters import Character
    from charaforge.warehouse.layout import Warehouse

NAME = "demo"
HELP = "the whole road on a new character: draw it into a folder, forge a LoRA, certificate and sheet"

_CHARACTER = 7
_PICTURES = 64
_SIDE = 512
_BUDGET = "4m"


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
        "--out", type=Path, metavar="DIR", help="folder of pictures and reports [default: in the warehouse]"
    )
    parser.add_argument(
        "--budget", default=_BUDGET, metavar="TIME", help=f"what may be spent [default: {_BUDGET}]"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget what an earlier demo of this character did"
    )


def run(args: argparse.Namespace) -> int:
    """Draw the pictures, walk the road, print the verdict; the exit code is that of `charaforge forge`."""
    from charaforge.mini.characters import Character

    warehouse = bootstrap()
    character = Character.from_seed(args.character)
    out = (args.out or warehouse.outputs / "demo" / f"character-{args.character}").absolute()
    lora = f"{character.trigger}_{EMBEDDED_BASE}_r8"
    if args.fresh:
        _forget(out, warehouse.lora_folder(lora))
    folder = _draw(character, out, warehouse)
    return _walk(_plan(args, character, folder, out, lora), warehouse)


def _walk(plan: ForgePlan, warehouse: Warehouse) -> int:
    """Walk the road; a refusal names an option that this command has."""
    from charaforge.forge.road import NameTakenError

    try:
        return forge_verb.walk(plan, warehouse)
    except NameTakenError as error:
        raise NameTakenError(error.message, "give --fresh, which deletes it, or move it away") from error


def _forget(out: Path, lora: Path) -> None:
    for folder in (out, lora):
        if folder.is_dir():
            shutil.rmtree(folder)


def _draw(character: Character, out: Path, warehouse: Warehouse) -> Path:
    """Draw the folder that stands for a user's own: pictures, and no word about them."""
    from charaforge.mini.dataset import draw_character

    folder, drawing = out / "my_character", out / ".drawing"
    if not folder.is_dir():
        draw_character(character, drawing, _PICTURES, warehouse, side=_SIDE)
        for told in (*drawing.glob("*.txt"), drawing / "metadata.csv"):
            told.unlink()
        drawing.rename(folder)
    return folder


def _plan(args: argparse.Namespace, character: Character, folder: Path, out: Path, lora: str) -> ForgePlan:
    from charaforge.forge.plan import ForgePlan

    given = [f"--out {args.out}"] if args.out else []
    options = [f"--character {args.character}", f"--budget {args.budget}", *given]
    return ForgePlan(
        folder=folder,
        character=character.trigger,
        model=EMBEDDED_BASE,
        lora=lora,
        dataset=character.trigger,
        out=out,
        prompts=shipped(PROMPTS),
        fresh_prompts=shipped(FRESH_PROMPTS),
        budget_s=forge_verb.seconds_of(args.budget),
        strict_budget=False,
        command=" ".join(["charaforge demo", *options]),
    )
