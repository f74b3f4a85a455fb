"""Measures the pose stage on held-out pictures of the mini world, as files of 512 px.

    python benchmarks/pose_stage.py --work FOLDER [--count 2000] [--side 512] [--out docs/pose.md]

PCK: share of joints in the frame that lie within 5 % or 10 % of the figure's height (crown to sole) of the
renderer's. Words: how often the rules name the pose that was drawn.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.curation import pose
from charaforge.curation.stage import Row, run_stage
from charaforge.logs import track
from charaforge.mini.measure.pose import FIGURE_HEIGHT
from charaforge.mini.render import keypoints, render
from charaforge.mini.render.skeleton import pose_skeleton
from charaforge.mini.scenes import Scene, sample_held_out_scene
from charaforge.mini.world import NATIVE_SIDE
from charaforge.perception.opening import open_pose
from charaforge.warehouse.atomic import write_text
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

JOINTS = {
    "nose, neck": (0, 1),
    "shoulders": (2, 5),
    "elbows": (3, 6),
    "wrists": (4, 7),
    "hips": (8, 11),
    "knees": (9, 12),
    "ankles": (10, 13),
    "eyes, ears": (14, 15, 16, 17),
    "elbows, wrists, knees, ankles": (3, 4, 6, 7, 9, 10, 12, 13),
    "all": tuple(range(18)),
}


def draw(folder: Path, count: int, side: int) -> dict[Path, Scene]:
    """Draw what is missing; return the scene of every file."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {}
    for index in track(count, "drawing", unit="pictures"):
        file = folder / f"{index:05}.png"
        scenes[file] = sample_held_out_scene(random.Random(f"held-out pose {index}"))
        if not file.is_file():
            Image.fromarray(render(scenes[file], side)).save(file)
    return scenes


def distances(scenes: dict[Path, Scene], rows: dict[Path, Row], side: int) -> npt.NDArray[np.float64]:
    """Return (N, 18): distance to the truth in shares of the figure's height; NaN outside of the frame."""
    found = []
    for file, scene in scenes.items():
        truth = keypoints(scene)
        people = pose.people_of(rows[file])
        placed = (truth[:, :2] + 0.5) * side / NATIVE_SIDE - 0.5
        error = np.linalg.norm(people[0][:, :2] - placed, axis=1) if len(people) else np.full(18, np.inf)
        height = FIGURE_HEIGHT * pose_skeleton(scene).scale * side / NATIVE_SIDE
        found.append(np.where(truth[:, 2] > 0, error / height, np.nan))
    return np.stack(found)


def joints_table(found: npt.NDArray[np.float64]) -> list[str]:
    """Return the table of PCK."""
    table = ["| Joints | in the frame | within 5 % | within 10 % |", "|---|---|---|---|"]
    for name, joints in JOINTS.items():
        some = found[:, joints][~np.isnan(found[:, joints])]
        table.append(f"| {name} | {len(some)} | {(some <= 0.05).mean():.4f} | {(some <= 0.10).mean():.4f} |")
    return table


def words_table(scenes: dict[Path, Scene], rows: dict[Path, Row]) -> list[str]:
    """Return how often each pose got its word."""
    told: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for file, scene in scenes.items():
        told[scene.pose, scene.framing][rows[file]["pose_tag"]] += 1
    table = ["| Drawn | Framing | Pictures | Right | Otherwise |", "|---|---|---|---|---|"]
    for (drawn, framing), words in sorted(told.items()):
        others = ", ".join(f"{word} {count}" for word, count in words.most_common() if word != drawn)
        right = words[drawn] / words.total()
        table.append(f"| {drawn} | {framing} | {words.total()} | {right:.3f} | {others or '–'} |")
    return table


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    scenes = draw(args.work / f"held-out-{args.side}", args.count, args.side)
    estimators = pose.Estimators(open_pose(Registry(Warehouse(args.work)), "mini-pose"))
    rows = pose.with_tags(run_stage(pose.pose_stage(estimators), list(scenes), args.work / "cache"))
    page = [
        f"{args.count} held-out pictures (combinations that no net was trained on) of {args.side} px.",
        "",
        *joints_table(distances(scenes, rows, args.side)),
        "",
        *words_table(scenes, rows),
    ]
    print("\n".join(page))
    if args.out:
        write_text(args.out, "\n".join(page) + "\n")


if __name__ == "__main__":
    main()
