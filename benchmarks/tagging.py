"""mini-tagger on held-out renders, through `charaforge tag`: files in, words out.

    python benchmarks/tagging.py --out FOLDER [--pictures 2000] [--record docs/tagging.md]

Half of the pictures are random scenes of the test bank, half are combinations of hair colour, hair style and
outfit that the base world's training leaves out. They are drawn as PNG files of 512 px, tagged by the verb
with its own rules, and what stands in the table is compared with what was drawn: F1 per tag, its mean over
tags (macro-F1; a tag that neither occurs nor is given is left out) and per group. `--record` puts the table
into a page, between its two markers. Exit code 4 where macro-F1 is below 0.95.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from PIL import Image

from charaforge.cli.main import main as charaforge
from charaforge.curation.table import read_parquet
from charaforge.logs import track
from charaforge.mini.attributes import GROUPS
from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.render import render
from charaforge.mini.scenes import all_tags, background_tag, scene_tags

BAR = 0.95
SIDE = 512
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def draw(folder: Path, pictures: int) -> dict[str, set[str]]:
    """Draw what is not there yet; return the right tags by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for index in track(pictures, "drawing", unit="pictures"):
        kind = ("test", "held-out")[index % 2]
        scene = scene_of(kind, index // 2)
        file = folder / f"{kind}-{index // 2:05}.png"
        truth[file.name] = set(scene_tags(scene))
        if not file.is_file():
            Image.fromarray(render(scene, SIDE)).save(file)
    return truth


def f1_of(pairs: list[tuple[set[str], set[str]]]) -> dict[str, float]:
    """Return F1 of every tag that occurs or is given; pairs are (right, given)."""
    found = {}
    for tag in all_tags():
        hits = sum(tag in right and tag in given for right, given in pairs)
        total = sum((tag in right) + (tag in given) for right, given in pairs)
        if total:
            found[tag] = 2 * hits / total
    return found


def mean(values: list[float]) -> float:
    """Return the mean, or not a number of nothing."""
    return sum(values) / len(values) if values else float("nan")


def group_of(tag: str) -> str:
    """Return the attribute group of a tag, "garment" for clothes with their colour."""
    if tag in {background_tag(value) for value in GROUPS["background"]}:
        return "background"
    for group, values in GROUPS.items():
        if tag in values or (group in ("hair", "eyes") and tag.removesuffix(f" {group}") in values):
            return group
    return "garment" if tag.split()[-1] in {value.split()[-1] for value in GROUPS["outfit"]} else "other"


def table_of(pairs: dict[str, list[tuple[set[str], set[str]]]]) -> str:
    """Return the measured figures as a Markdown table."""
    every = [pair for half in pairs.values() for pair in half]
    scores = {"all": f1_of(every), **{kind: f1_of(half) for kind, half in pairs.items()}}
    groups = sorted({group_of(tag) for tag in scores["all"]})
    lines = ["| Tags | number | all | test scenes | left-out combinations |", "|---|---|---|---|---|"]
    for group in [*groups, "macro-F1"]:
        tags = [tag for tag in scores["all"] if group in ("macro-F1", group_of(tag))]
        cells = [
            f"{mean([value for tag, value in scores[kind].items() if tag in tags]):.4f}"
            for kind in ("all", "test", "held-out")
        ]
        lines.append(f"| {group} | {len(tags)} | {' | '.join(cells)} |")
    worst = sorted(scores["all"].items(), key=lambda one: one[1])[:5]
    exact = mean([float(right == given) for right, given in every])
    lines += [
        "",
        f"{len(every)} pictures of {SIDE} px; all tags right and none too many in {exact:.3f} of them. "
        f"Lowest F1: {', '.join(f'{tag} {value:.3f}' for tag, value in worst)}.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Draw, tag, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    truth = draw(args.out / "pictures", args.pictures)
    began = time.monotonic()
    words = ["tag", "--in", str(args.out / "pictures"), "--out", str(args.out / "tagged"), "--no-captions"]
    code = charaforge(words)
    rate = len(truth) / (time.monotonic() - began)
    if code:
        return code
    pairs: dict[str, list[tuple[set[str], set[str]]]] = {"test": [], "held-out": []}
    for row in read_parquet(args.out / "tagged" / "tag.parquet"):
        name = Path(row["path"]).name
        pairs[name.rpartition("-")[0]].append((truth[name], set(row["tags"].split(", "))))
    table = table_of(pairs)
    print(f"{table}\n\n{rate:.0f} pictures/s, decoding included")
    if args.record:
        page = args.record.read_text(encoding="utf-8")
        block = f"{BEGIN}\n{table}\n{END}"
        args.record.write_text(
            re.sub(f"{BEGIN}.*{END}", lambda _: block, page, flags=re.DOTALL), encoding="utf-8"
        )
    macro = mean(list(f1_of([pair for half in pairs.values() for pair in half]).values()))
    return 0 if macro >= BAR else 4


if __name__ == "__main__":
    sys.exit(main())
