"""`charaforge models`: what can be named in requests and configurations, and how it comes and goes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from charaforge.errors import ExitCode, UsageError
from charaforge.logs import Progress
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import KINDS, ModelEntry, Registry

NAME = "models"
HELP = "list models, fetch or add one, verify their files, remove one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list models by name", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    pulling = actions.add_parser("pull", help="fetch a model from the hub", allow_abbrev=False)
    pulling.add_argument("id", metavar="ID[@REV]", help="owner/name; REV is a branch, tag or commit")
    adding = actions.add_parser("add", help="take a model from this machine's disks", allow_abbrev=False)
    adding.add_argument("path", type=Path, metavar="PATH", help="a folder, a .safetensors or an .onnx file")
    adding.add_argument("--copy", action="store_true", help="copy its files instead of linking them")
    for action in (pulling, adding):
        action.add_argument("--name", default="", help="what to call it [default: its own name]")
        action.add_argument(
            "--family", default="", choices=("sd15", "sdxl"), help="where its files do not tell"
        )
        action.add_argument(
            "--file", action="append", default=[], metavar="NAME", help="take this file or folder; repeatable"
        )
    verifying = actions.add_parser("verify", help="compare files with their sha256", allow_abbrev=False)
    verifying.add_argument("names", nargs="*", metavar="NAME", help="which ones [default: all]")
    removing = actions.add_parser("rm", help="delete a model", allow_abbrev=False)
    removing.add_argument("name", metavar="NAME")
    removing.add_argument("--yes", action="store_true", help="really delete it")
    for action in (listing, pulling, adding, verifying, removing):
        action.add_argument("--kind", help=f"one of {', '.join(KINDS)}")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; print what there is now."""
    warehouse = bootstrap()
    if args.action == "list":
        entries = Registry(warehouse).list(args.kind)
        print(json.dumps([_record(entry) for entry in entries], indent=2) if args.json else _table(entries))
        return ExitCode.PASS
    if args.action == "verify":
        return _verify(Registry(warehouse), args.names, args.kind)
    return _remove(warehouse, args) if args.action == "rm" else _take(warehouse, args)


def _take(warehouse: Warehouse, args: argparse.Namespace) -> int:
    from charaforge.warehouse.intake import Wish, add

    wish = Wish(args.kind or "", args.name, args.family, tuple(args.file))
    if args.action == "add":
        folder = add(warehouse, args.path, wish, copy=args.copy)
    else:
        from charaforge.warehouse.hub import pull

        with Progress(1, "fetching", unit="bytes") as progress:

            def told(done: int, total: int) -> None:
                progress.total = total
                progress.advance(done - progress.done)

            folder = pull(warehouse, args.id, wish, told)
    print(folder)
    return ExitCode.PASS


def _verify(registry: Registry, names: list[str], kind: str | None) -> int:
    from charaforge.warehouse.upkeep import find, verify

    entries = [find(registry, name, kind) for name in names] or registry.list(kind)
    broken = False
    for finding in verify(entries):
        state = f"ok, {finding.recorded} files" if finding.recorded else "no sha256 is recorded"
        print(f"{finding.entry.name}  {finding.entry.kind}  {'; '.join(finding.faults) or state}")
        broken = broken or bool(finding.faults)
    return ExitCode.FAULT if broken else ExitCode.PASS


def _remove(warehouse: Warehouse, args: argparse.Namespace) -> int:
    from charaforge.warehouse.upkeep import find, remove

    entry = find(Registry(warehouse), args.name, args.kind)
    if not args.yes and not entry.embedded:
        raise UsageError(f"{entry.path} would be deleted", "say --yes if that is meant")
    remove(entry)
    print(f"removed {entry.path}")
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
