"""`charaforge generate`: render pictures from a prompt."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

from charaforge.cli.picture_options import add_picture_options, picture_values
from charaforge.config import parse
from charaforge.errors import ExitCode
from charaforge.logs import Progress
from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.requests.samplers import SCHEDULES, SOLVERS
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import recommended_weight
from charaforge.warehouse.registry import Registry

NAME = "generate"
HELP = "render pictures from a prompt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    solvers = ", ".join(solver.name for solver in SOLVERS)
    schedules = ", ".join(f"_{schedule.name}" for schedule in SCHEDULES if schedule.name)
    add = parser.add_argument
    add("--prompt", required=True, metavar="TEXT", help="what to show")
    add("--negative", metavar="TEXT", help="what not to show")
    add("--model", metavar="NAME", help="base model [default: DEFAULT_MODEL, else mini-sd]")
    add(
        "--lora",
        action="append",
        dest="loras",
        metavar="NAME[:W]",
        help="a LoRA and its weight [default: the chosen one, else 1]; repeatable",
    )
    add("--width", type=int, metavar="PX", help="64 to 2048, a multiple of 8 [default: 512]")
    add("--height", type=int, metavar="PX", help="likewise")
    add("--steps", type=int, metavar="N", help="denoising steps, 1 to 150 [default: 20]")
    add("--seed", type=int, metavar="N", help="of the first picture; -1 draws one [default: -1]")
    add(
        "--scheduler",
        metavar="NAME",
        help=f"{solvers}; most also with {schedules}; or A1111's or diffusers' name [default: dpmpp_2m]",
    )
    add(
        "--guidance",
        type=float,
        metavar="G",
        help="how strongly the prompt acts, above 0 to 30 [default: the model's]",
    )
    add("--clip-skip", type=int, metavar="N", help="text encoder layers from the end, 1 to 12 [default: 1]")
    add("--vae", metavar="NAME", help="another VAE [default: the model's own]")
    add("--wildcard-seed", type=int, metavar="N", help="decides what wildcards stand for [default: the seed]")
    add("--count", type=int, metavar="N", help="pictures, with following seeds, 1 to 64 [default: 1]")
    add(
        "--out", type=Path, metavar="DIR", help="folder of the pictures [default: a new one in the warehouse]"
    )

    add_picture_options(parser)


def run(args: argparse.Namespace) -> int:
    """Render and save; print the path of each picture."""
    warehouse = bootstrap()
    asked = {name: getattr(args, name, None) for name in GenerationRequest.model_fields}
    asked |= picture_values(args)
    registry = Registry(warehouse)
    asked["loras"] = [_lora(text, registry) for text in args.loras or []]
    told = {name: value for name, value in asked.items() if value is not None}
    return _render(warehouse, parse(GenerationRequest, told, "generate"), args.out)


def _lora(text: str, registry: Registry) -> Mapping[str, object]:
    """A LoRA as told, still unchecked; without a weight, at that which an evaluation chose."""
    told = LoraUse.values(text)
    return told if "weight" in told else {**told, "weight": recommended_weight(told["name"], registry)}


def _render(warehouse: Warehouse, request: GenerationRequest, out: Path | None) -> int:
    from charaforge.generation.generator import Generator
    from charaforge.generation.outputs import new_folder, save

    folder = out if out is not None else new_folder(warehouse)
    folder.mkdir(parents=True, exist_ok=True)  # before the work, so that it is not done for nothing
    start = time.monotonic()
    with Progress(request.steps * request.count, "rendering", unit="steps") as progress:
        pictures = Generator(warehouse).generate_many(
            [request], lambda done, total: progress.advance(done - progress.done)
        )
        for picture in pictures:
            saved = save(picture, folder, {"elapsed_ms": round((time.monotonic() - start) * 1000)})
            print(saved.image_path)
    return ExitCode.PASS
