"""How long does it take to find all close pairs among many 64-bit hashes? faiss's binary index beside it.

    python benchmarks/dedupe_join.py [--count 1000000] [--radius 6] [--add 1000] [--copies 0.1] [--faiss]

Random hashes, of which a share are copies of others with 0 to 3 changed bits. Prints wall time, processor
time, memory and pairs; then the same for adding new hashes to the known ones. With `--faiss` (pip install
faiss-cpu) its exact flat binary index does the same, on one core: all pairs for a sample of 2,000 hashes,
scaled up, and `--add`.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from charaforge.curation.dedupe.join import Hashes, close_pairs, close_to
from charaforge.errors import ExitCode


def timed(label: str, work: Callable[[], Any], scale: float = 1.0) -> Any:
    """Run `work`; print what it cost, multiplied by `scale`."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = (time.perf_counter() - wall) * scale, (time.process_time() - cpu) * scale
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{label:44} {wall:8.2f} s wall  {cpu:8.2f} s processor  peak {memory:5.2f} GB", flush=True)
    return result


def draw(count: int, share: float, seed: int = 1) -> Hashes:
    """Return `count` different hashes, of which `share` lie within 3 bits of another."""
    rng = np.random.default_rng(seed)
    lonely = rng.integers(0, 2**64, int(count * (1 - share)), dtype=np.uint64)
    copies = rng.choice(lonely, count - len(lonely))
    for _ in range(3):
        copies ^= rng.integers(0, 2, len(copies), dtype=np.uint64) << rng.integers(
            0, 64, len(copies), dtype=np.uint64
        )
    hashes = np.unique(np.concatenate([lonely, copies]))
    rng.shuffle(hashes)
    return hashes


def with_faiss(hashes: Hashes, new: Hashes, radius: int) -> None:
    """Ask faiss's flat binary index the same; it counts distances below its radius."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(64)
    index.add(hashes.view(np.uint8).reshape(-1, 8))
    sample = hashes[:2000].view(np.uint8).reshape(-1, 8)
    label = f"faiss IndexBinaryFlat, all pairs ({len(sample)} scaled up)"
    timed(label, lambda: index.range_search(sample, radius + 1), len(hashes) / len(sample))
    asked = new.view(np.uint8).reshape(-1, 8)
    limits, _, _ = timed(f"faiss, {len(new)} new", lambda: index.range_search(asked, radius + 1))
    print(f"  {limits[-1]} pairs")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--radius", type=int, default=6)
    parser.add_argument("--add", type=int, default=1_000)
    parser.add_argument("--copies", type=float, default=0.1)
    parser.add_argument("--faiss", action="store_true")
    args = parser.parse_args()
    hashes = draw(args.count + args.add, args.copies)
    known, new = hashes[: -args.add], hashes[-args.add :]
    print(f"{len(known):,} hashes, radius {args.radius}")
    pairs = timed("all pairs", lambda: close_pairs(known, args.radius))
    print(f"  {len(pairs.left):,} pairs, {len(pairs.crowded):,} hashes in crowds")
    pairs = timed(f"{len(new):,} new against all", lambda: close_to(new, known, args.radius))
    print(f"  {len(pairs.left):,} pairs")
    if args.faiss:
        with_faiss(known, new, args.radius)
    return ExitCode.PASS


if __name__ == "__main__":
    sys.exit(main())
