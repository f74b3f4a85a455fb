"""`charaforge models list`: what can be named in requests and configurations."""

from __future__ import annotations

import argparse
import json

from charaforge.errors import ExitCode
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import KINDS, ModelEntry, Registry

NAME = "models"
HELP = "list the models that are there"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list models by name", allow_abbrev=False)
    listing.add_argument("--kind", help=f"only one kind: {', '.join(KINDS)}")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the models."""
    entries = Registry(bootstrap()).list(args.kind)
    print(json.dumps([_record(entry) for entry in entries], indent=2) if args.json else _table(entries))
    return ExitCode.PASS


def _record(entry: ModelEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "family": entry.family or None,
        "embedded": entry.embedded,
        "path": str(entry.path),
    }


def _table(entries: list[ModelEntry]) -> str:
    rows = [("NAME", "KIND", "FAMILY", "WHERE")]
    for entry in entries:
        where = "embedded" if entry.embedded else str(entry.path)
        rows.append((entry.name, entry.kind, entry.family or "-", where))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
