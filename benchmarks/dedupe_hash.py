"""How fast are perceptual hashes, beside ImageHash's? And are they equal?

    python benchmarks/dedupe_hash.py [--pictures 1000] [--side 512]

Mini-world pictures, decoded beforehand. ImageHash gets them as Pillow's pictures, which suits it best; ours
come as arrays, as the stages of curation read them. Both on one thread; median over hundreds, each the best
of 5 rounds.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import imagehash
import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from charaforge.curation.dedupe.verify import thumbnail
from charaforge.errors import ExitCode
from charaforge.mini.render import render
from charaforge.mini.scenes import sample_scene
from charaforge.perception.phash import phash
from charaforge.perception.shrink import Pixels

ROUNDS = 5
GOAL = 2.0


def rate(work: Callable[[], Any], count: int) -> float:
    """Return pictures per second of processor time, best of `ROUNDS`."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return count / min(times)


def compare(pictures: list[Pixels]) -> tuple[float, float, float]:
    """Return the rates of ImageHash, of our hashes and of thumbnails."""
    opened = [Image.fromarray(picture) for picture in pictures]
    works = (
        lambda: [imagehash.phash(picture) for picture in opened],
        lambda: phash(pictures),
        lambda: [thumbnail(picture) for picture in pictures],
    )
    theirs, ours, thumbs = (rate(work, len(pictures)) for work in works)
    return theirs, ours, thumbs


def main() -> int:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--side", type=int, default=512)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    threadpool_limits(1, "blas")  # as the stages of curation do
    chance = random.Random(0)
    equal = 0
    rates = []
    for start in range(0, args.pictures, 100):
        count = min(100, args.pictures - start)
        pictures = [render(sample_scene(chance), args.side) for _ in range(count)]
        rates.append(compare(pictures))
        told = (str(imagehash.phash(Image.fromarray(picture))) for picture in pictures)
        equal += sum(one == other.text for one, other in zip(told, phash(pictures), strict=True))
    theirs, ours, thumbs = np.median(rates, axis=0)
    print(f"equal hashes   {equal} of {args.pictures}")
    print(f"ImageHash      {theirs:8.0f} pictures/s of {args.side} px")
    print(f"ours           {ours:8.0f} pictures/s, {ours / theirs:.2f} times; 64 and 256 bits, all turns")
    print(f"thumbnails     {thumbs:8.0f} pictures/s")
    return ExitCode.PASS if equal == args.pictures and ours / theirs >= GOAL else ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
