"""`charaforge gc`: show what of the service's warehouse can go, and delete it when told to."""

from __future__ import annotations

import argparse

from charaforge.errors import ExitCode, UnknownNameError, UsageError
from charaforge.jobstore.retention import KINDS
from charaforge.warehouse.bootstrap import read_settings

NAME = "gc"
HELP = "show what of the warehouse can go (old pictures, jobs, uploads, caches); --delete deletes it"

DEFAULT = ("uploads", "caches", "leftovers")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    text = f"{', '.join(KINDS)} [default: uploads, caches and leftovers]"
    parser.add_argument("what", nargs="*", metavar="WHAT", help=text)
    parser.add_argument(
        "--older-than", type=float, default=30.0, metavar="DAYS", help="what is younger stays [default: 30]"
    )
    parser.add_argument("--delete", action="store_true", help="delete; without it nothing is touched")


def run(args: argparse.Namespace) -> int:
    """Print sizes by kind and the largest things; delete them with --delete."""
    wanted = args.what or list(DEFAULT)
    for name in wanted:
        if name not in KINDS:
            raise UnknownNameError("kind of thing", name, KINDS)
    if args.older_than < 0:
        raise UsageError(f"--older-than is {args.older_than:g}", "give days, 0 or more")
    read_settings()
    from charaforge.client.service import Service

    with Service() as service:
        told = service.batches.gc(wanted, args.older_than, args.delete)
    for kind in told.kinds:
        print(f"{kind.kind:10}{kind.things:>8} things  {_shown(kind.bytes):>10}")
    for one in told.largest:
        print(f"  {_shown(one.bytes):>10}  {one.age_days:5.0f} days  {one.path}")
    total = _shown(sum(kind.bytes for kind in told.kinds))
    if told.deleted:
        print(f"deleted:   {total}, {_shown(told.free)} are free now")
    else:
        print(f"would go:  {total}; nothing was deleted, --delete does it")
    return ExitCode.PASS


def _shown(count: float) -> str:
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
