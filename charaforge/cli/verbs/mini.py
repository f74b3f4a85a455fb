"""`charaforge mini`: draw pictures of the embedded mini world."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

from charaforge.errors import ExitCode, UsageError
from charaforge.warehouse.bootstrap import bootstrap

NAME = "mini"
HELP = "draw pictures of the embedded mini world; train the models embedded with it"

_PICTURES = 48
_RECIPES = (
    "vae",
    "base",
    "tagger",
    "judge",
    "identity",
    "pose",
    "upscaler",
    "controlnet_pose",
    "controlnet_depth",
    "controlnet_lineart",
    "ip_adapter",
    "annotator",
    "sdxl",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    draw = actions.add_parser(
        "draw", help="draw a dataset: PNG files, captions, metadata.csv", allow_abbrev=False
    )
    who = draw.add_mutually_exclusive_group(required=True)
    who.add_argument("--character", type=int, metavar="SEED", help="one character, the same on every machine")
    who.add_argument(
        "--world", type=int, metavar="SEED", nargs="?", const=0, help="random figures, all different"
    )
    draw.add_argument(
        "--lookalike", type=int, metavar="I", help="the I-th lookalike of --character instead of itself"
    )
    draw.add_argument(
        "--count", type=int, default=_PICTURES, metavar="N", help=f"pictures [default: {_PICTURES}]"
    )
    draw.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    draw.add_argument(
        "--size", type=int, default=512, metavar="PX", help="side, 128 to 1024 px [default: 512]"
    )
    _add_train_arguments(actions)
    _add_publish_arguments(actions)


def _add_train_arguments(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = actions.add_parser(
        "train", help="train a member of the mini family; call it again to go on", allow_abbrev=False
    )
    train.add_argument("model", choices=_RECIPES, help="which one")
    train.add_argument(
        "--work", type=Path, metavar="DIR", help="banks, checkpoints [default: mini-work in the warehouse]"
    )
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="finished weights [default: DIR/weights in --work]"
    )
    train.add_argument(
        "--samples", type=int, metavar="N", help="training samples [default: the recipe's own]"
    )
    train.add_argument("--seed", type=int, default=1, metavar="N", help="initial weights, order [default: 1]")


def _add_publish_arguments(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    publish = actions.add_parser(
        "publish", help="measure a trained base and write it as part of the package", allow_abbrev=False
    )
    publish.add_argument("model", choices=("mini-sd", "mini-sdxl"), help="which one")
    publish.add_argument(
        "--work", type=Path, metavar="DIR", help="where it was trained [default: mini-work in the warehouse]"
    )
    publish.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of finished weights")
    publish.add_argument(
        "--prompts", type=int, default=512, metavar="N", help="prompts to measure it on [default: 512]"
    )


def run(args: argparse.Namespace) -> int:
    """Run the sub-command."""
    return _ACTIONS[args.action](args)


def _draw(args: argparse.Namespace) -> int:
    from charaforge.mini.characters import Character
    from charaforge.mini.dataset import draw_character, draw_world

    warehouse = bootstrap()
    if args.out.is_file():
        raise UsageError(f"{args.out} is a file", "give a folder with --out")
    if args.character is None:
        if args.lookalike is not None:
            raise UsageError("--lookalike without a character", "give --character SEED as well")
        print(draw_world(args.world, args.out, args.count, warehouse, args.size))
        return ExitCode.PASS
    character = Character.from_seed(args.character)
    if args.lookalike is not None:
        character = character.lookalike(args.lookalike)
    print(draw_character(character, args.out, args.count, warehouse, args.size))
    print(f"trigger: {character.trigger}   traits: {', '.join(character.trait_tags())}")
    return ExitCode.PASS


def _train(args: argparse.Namespace) -> int:
    from charaforge.mini.recipes.settings import TrainSettings

    if args.samples is not None and args.samples < 1:
        raise UsageError(f"--samples {args.samples}", "give a number of training samples, 1 or more")
    work = args.work or bootstrap().root / "mini-work"
    out = args.out or work / "weights"
    recipe = importlib.import_module(f"charaforge.mini.recipes.{args.model}")
    figures = recipe.train(TrainSettings(work=work, out=out, samples=args.samples, seed=args.seed))
    print("   ".join(f"{name}: {value:.4g}" for name, value in figures.items()))
    return ExitCode.PASS


def _publish(args: argparse.Namespace) -> int:
    from charaforge.mini.measure import base
    from charaforge.mini.measure.bars import missed
    from charaforge.mini.recipes import publish
    from charaforge.mini.recipes.base import PICTURES
    from charaforge.warehouse.registry import Registry

    warehouse = bootstrap()
    work = args.work or warehouse.root / "mini-work"
    release = publish.RELEASES[args.model]
    pipe = work / release.work / "pipe"
    if not pipe.is_dir():
        raise UsageError(f"there is no {pipe}", f"train it first: charaforge mini train {release.recipe}")
    tagger = Registry(warehouse).get("mini-tagger", "tagger").path
    figures = base.measure(pipe, tagger, args.prompts)
    told = {name: round(value, 4) for name, value in figures.items()}
    seen = publish.seen_samples(pipe.parent)
    print(publish.publish(work, args.out, seen, PICTURES, told, args.model))
    print("\n".join(f"{name}: {value:.3f}" for name, value in told.items() if name.startswith("generated")))
    faults = missed(figures, base.BARS)
    print("\n".join(f"MISSED {line}" for line in faults) or "all bars are met")
    return ExitCode.FAILED if faults else ExitCode.PASS


_ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "draw": _draw,
    "train": _train,
    "publish": _publish,
}
