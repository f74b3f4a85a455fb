"""`make faults`: every fault many times over, as a table.

    python -m tests.backend.jobs.fault_table [--repetitions 20] [--models 3] [--only NAME] [--seed 1]

Exit code 4 where a batch lost, doubled or altered an item, wasted more than one micro-batch, or took more
than 60 s to recover.
"""

from __future__ import annotations

import argparse
import sys
import time

from charaforge.errors import ExitCode
from tests.backend.jobs.faults import SCENARIOS, Setting, Verdict, run_once


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20, help="of each fault, with patterns")
    parser.add_argument("--models", type=int, default=3, help="of each fault, with mini-sd")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--model-items", type=int, default=200, help="of batches with mini-sd")
    parser.add_argument("--cut", type=float, default=60.0, help="seconds that Redis is cut off")
    parser.add_argument("--only", default="", help="part of a fault's name")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    patterns = Setting(items=args.items, cut_s=args.cut)
    models = Setting(items=args.model_items, ms=30, renderer="CountingModels", cut_s=args.cut)
    say("| Fault | renderer | runs | lost | doubled | altered | most wasted | longest recovery | |")
    say("|---|---|---|---|---|---|---|---|---|")
    fine = True
    for name in SCENARIOS:
        if args.only in name:
            fine &= row(name, "pattern", patterns, args.repetitions, args.seed)
            fine &= row(name, "mini-sd", models, args.models, args.seed)
    return ExitCode.PASS if fine else ExitCode.FAILED


def row(name: str, renderer: str, setting: Setting, repetitions: int, seed: int) -> bool:
    """Run a fault and print its row; return whether all runs were fine."""
    told: list[Verdict] = []
    start = time.monotonic()
    for repetition in range(repetitions):
        told.append(run_once(name, setting, seed + repetition))
        if not told[-1].fine:
            sys.stderr.write(f"{name}, {renderer}, seed {seed + repetition}: {told[-1]}\n")
    if not told:
        return True
    sums = [sum(getattr(one, key) for one in told) for key in ("lost", "doubled", "altered")]
    worst = max(one.wasted for one in told), max(one.recovery_s for one in told)
    fine = all(one.fine for one in told)
    counts = " | ".join(str(count) for count in sums)
    say(
        f"| {name} | {renderer} | {len(told)} | {counts} | {worst[0]} | {worst[1]:.1f} s |"
        f" {'held' if fine else '**missed**'} |"
    )
    sys.stderr.write(f"  {time.monotonic() - start:.0f} s\n")
    return fine


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
