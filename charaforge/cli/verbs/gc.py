"""`charaforge gc`: show what of the warehouse can go, and delete it when told to."""

from __future__ import annotations

import argparse
import shutil

from charaforge.errors import ExitCode, UnknownNameError, UsageError
from charaforge.jobstore import retention
from charaforge.warehouse.bootstrap import bootstrap

NAME = "gc"
HELP = "show what of the warehouse can go (old pictures, jobs, uploads, caches); --delete deletes it"

_LARGEST = 5
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    kinds = ", ".join(retention.KINDS)
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"{kinds} [default: uploads, caches and leftovers]"
    )
    parser.add_argument(
        "--older-than", type=float, default=30.0, metavar="DAYS", help="what is younger stays [default: 30]"
    )
    parser.add_argument("--delete", action="store_true", help="delete; without it nothing is touched")


def run(args: argparse.Namespace) -> int:
    """Print sizes by kind and the largest things; delete them with --delete."""
    wanted = args.what or ["uploads", "caches", "leftovers"]
    for name in wanted:
        if name not in retention.KINDS:
            raise UnknownNameError("kind of thing", name, retention.KINDS)
    if args.older_than < 0:
        raise UsageError(f"--older-than is {args.older_than:g}", "give days, 0 or more")
    warehouse = bootstrap()
    found = list(retention.litter(warehouse, frozenset(wanted), args.older_than))
    for kind in retention.KINDS:
        if kind in wanted:
            mine = [one for one in found if one.what == kind]
            print(f"{kind:10}{len(mine):>8} things  {_shown(sum(one.bytes for one in mine)):>10}")
    for one in sorted(found, key=lambda one: one.bytes, reverse=True)[:_LARGEST]:
        print(f"  {_shown(one.bytes):>10}  {one.age_days:5.0f} days  {one.path}")
    total = sum(one.bytes for one in found)
    if args.delete:
        for one in found:
            retention.remove(one)
        print(f"deleted:   {_shown(total)}, {_shown(shutil.disk_usage(warehouse.root).free)} are free now")
    else:
        print(f"would go:  {_shown(total)}; nothing was deleted, --delete does it")
    return ExitCode.PASS


def _shown(count: float) -> str:
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
