"""What does it cost to add pictures to the index of a large dataset?

    python benchmarks/dedupe_index.py [--count 1000000] [--add 1000] [--work FOLDER] [--no-turns]

Random features, of which a share are copies; thumbnails are empty. Builds an index on the disk (at a million
pictures 3.4 GB), then opens it anew, adds, and groups.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from charaforge.curation.dedupe.features import Features
from charaforge.curation.dedupe.grouping import grouped
from charaforge.curation.dedupe.index import Index
from charaforge.curation.dedupe.verify import THUMB_SIDE
from charaforge.errors import ExitCode

RADIUS = 6
GOAL_S = 2.0


def draw(count: int, seed: int, near: Features | None = None) -> Features:
    """Return random features, a tenth of them with hashes 0 to 2 bits from others, or from `near`."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 2**64, (count, 8), dtype=np.uint64)
    tenth = count // 10
    taken = rng.integers(0, len(near) if near else count, tenth)
    small[:tenth, 0] = (near.small if near else small)[taken, 0]
    for _ in range(2):
        flips = rng.integers(0, 2, tenth, dtype=np.uint64) << rng.integers(0, 64, tenth, dtype=np.uint64)
        small[:tenth, 0] ^= flips
    return Features(
        rng.integers(0, 256, (count, 32), dtype=np.uint8),
        small,
        np.zeros((count, 8, 4), np.uint64),
        np.zeros((count, THUMB_SIDE, THUMB_SIDE, 3), np.uint8),
    )


def timed(label: str, work: Callable[[], Any]) -> float:
    """Run `work`; print what it cost; return seconds of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{label:40} {wall:8.2f} s wall  {cpu:8.2f} s processor  peak {memory:5.2f} GB", flush=True)
    return cpu


def main() -> int:
    """Build, add, group; print each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--add", type=int, default=1_000)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--no-turns", action="store_true")
    args = parser.parse_args()
    known = draw(args.count, 1)
    new = draw(args.add, 2, known)
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        place = Path(folder) / "index"

        def add(features: Features) -> None:
            with Index(place, RADIUS, not args.no_turns) as index:
                assert (index.numbers(features.sha256) < 0).all()
                index.add(features)

        def group() -> None:
            with Index(place, RADIUS, not args.no_turns) as index:
                order = np.arange(len(index))
                groups = grouped(order, index.edges, index.crowded, index.features, RADIUS)
                print(f"  {int((groups.keeper != order).sum()):,} copies")

        timed(f"building, {args.count:,} pictures", lambda: add(known))
        took = timed(f"adding {args.add:,}", lambda: add(new))
        timed("grouping", group)
    return ExitCode.PASS if took <= GOAL_S else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
