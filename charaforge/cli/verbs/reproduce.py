"""`charaforge reproduce`: render a picture again from what it says of itself, and compare."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from charaforge.errors import ExitCode
from charaforge.logs import Progress
from charaforge.warehouse.bootstrap import bootstrap

NAME = "reproduce"
HELP = "render a picture again from its own recipe and compare, byte for byte"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="PNG made by charaforge")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write the new pictures to")


def run(args: argparse.Namespace) -> int:
    """Render and compare; 0 where every file is equal (or, versions differing, its pixels), else 4."""
    warehouse = bootstrap()
    from charaforge.generation.generator import Generator
    from charaforge.generation.outputs import save
    from charaforge.generation.reproduce import read_record, reproduce

    records = [read_record(path) for path in args.files]
    generator = Generator(warehouse)
    different = 0
    for record in records:
        with Progress(record.request.steps, "rendering", unit="steps") as progress:
            verdict = reproduce(record, generator, partial(_show, progress))
        passed = verdict.equal or bool(verdict.reasons and verdict.same_pixels)
        different += not passed
        print(f"{record.path}: {_told(verdict.equal, verdict.same_pixels, verdict.largest)}")
        for reason in verdict.reasons:
            print(f"  {reason}")
        if args.out is not None:
            print(f"  {save(verdict.made, args.out).image_path}")
    return ExitCode.FAILED if different else ExitCode.PASS


def _show(progress: Progress, done: int, total: int) -> None:
    progress.advance(max(0, done - progress.done))


def _told(equal: bool, same_pixels: bool, largest: int) -> str:
    if equal:
        return "equal, byte for byte"
    return "equal pixels, another file" if same_pixels else f"different, by up to {largest} of 255"
