"""Times `charaforge curate` on drawn pictures, stage by stage.

    python benchmarks/curate_pictures.py --work FOLDER [--count 2000] [--side 512] [--copies 100]

Draws `count` pictures of one character once, of which `copies` are others again, smaller and as JPEG; then
runs each stage alone and `curate` as a whole, each with an empty cache. Reading from the disk counts where
the pictures are not in memory already.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from charaforge.curation import look, pose
from charaforge.curation.curate import Tools, curate
from charaforge.curation.dataset import Dataset
from charaforge.curation.dedupe import dedupe, features
from charaforge.curation.pictures import find_pictures
from charaforge.curation.sources import Told
from charaforge.curation.stage import Row, Stage, run_stage
from charaforge.curation.tagging.rules import TaggingRules, TraitRules
from charaforge.curation.tagging.tagging import tag_stage
from charaforge.logs import track
from charaforge.mini.characters import Character
from charaforge.mini.render import render
from charaforge.perception.opening import open_pose, open_tagger
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry


def draw(folder: Path, count: int, side: int, copies: int) -> None:
    """Draw what is missing."""
    character = Character.from_seed(7)
    folder.mkdir(parents=True, exist_ok=True)
    for index in track(count - copies, "drawing", unit="pictures"):
        file = folder / f"{index:05}.png"
        if not file.is_file():
            scene = character.scene(random.Random(f"curate {index}"))
            Image.fromarray(render(scene, side)).save(file)
    for index in range(copies):
        file = folder / f"copy{index:05}.jpg"
        if not file.is_file():
            Image.open(folder / f"{index * 3:05}.png").resize((side * 3 // 4,) * 2).save(file, quality=85)


def alone(stage: Stage, files: Sequence[Path], folder: Path) -> dict[Path, Row]:
    """Run a stage with nothing remembered."""
    shutil.rmtree(folder, ignore_errors=True)
    return run_stage(stage, files, folder / "cache")


def dedupe_alone(files: Sequence[Path], folder: Path) -> None:
    """Hash, compare and write the table, with nothing remembered."""
    dedupe.finish(folder, alone(features.stage(), files, folder))


def timed(work: Callable[[], object], pictures: int) -> str:
    """Run; return how long it took, the rate, and what it cost on all cores together."""
    start, processor = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    return f"{seconds:7.1f} s   {pictures / seconds:7.1f} pictures/s   {processor:7.1f} s of processors"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--copies", type=int, default=100)
    args = parser.parse_args()
    pictures = args.work / f"pictures-{args.side}"
    draw(pictures, args.count, args.side, args.copies)
    warehouse = Warehouse(args.work / "warehouse")
    registry = Registry(warehouse)
    tagger, estimators = (
        open_tagger(registry, "mini-tagger"),
        pose.Estimators(open_pose(registry, "mini-pose")),
    )
    files = [found.path for found in find_pictures(pictures)]
    print(f"{len(files)} pictures of {args.side} px, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    folder = args.work / "alone"
    for stage in (look.look_stage(), tag_stage(tagger), pose.pose_stage(estimators)):
        print(f"{stage.name:24} {timed(partial(alone, stage, files, folder), len(files))}")
    print(f"{'dedupe':24} {timed(partial(dedupe_alone, files, folder), len(files))}")
    shutil.rmtree(warehouse.root, ignore_errors=True)
    tools = Tools([tagger], TaggingRules(traits=TraitRules(prune=True)), estimators)
    dataset = Dataset("speed", warehouse)
    seconds: dict[str, float] = {}
    rate = timed(lambda: seconds.update(curate(pictures, Told("mai"), dataset, tools).seconds), len(files))
    for step, took in seconds.items():
        print(f"  {step:22} {took:7.1f} s   {len(files) / took:7.1f} pictures/s")
    print(f"{'curate, all of it':24} {rate}")
    print(f"{'the same again':24} {timed(lambda: curate(pictures, Told('mai'), dataset, tools), len(files))}")


if __name__ == "__main__":
    main()
