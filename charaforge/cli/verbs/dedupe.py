"""`charaforge dedupe`: which pictures are copies of others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.errors import ExitCode, UsageError
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.curation.dedupe.dedupe import Deduped
    from charaforge.curation.stage import Row

NAME = "dedupe"
HELP = "find copies of pictures, also resized, recompressed, mirrored and turned ones; delete nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--in", dest="source", type=Path, metavar="PATH", help="folder of pictures, or a metadata table"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where dedupe.parquet, dedupe.html, dedupe-index/ and summary.json go",
    )
    add_search_arguments(parser)
    parser.add_argument(
        "--apply",
        choices=("move", "link"),
        help="move copies to DIR/copies, or link what is kept in DIR/kept [default: only tell]",
    )
    parser.add_argument(
        "--undo", type=Path, metavar="JOURNAL", help="take back what --apply did, by DIR/dedupe-journal.jsonl"
    )


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what a copy is."""
    parser.add_argument(
        "--radius",
        type=int,
        default=6,
        choices=range(9),
        metavar="BITS",
        help="how far 64-bit hashes of copies may be apart, 0 to 8 [default: 6]",
    )
    parser.add_argument("--no-turns", action="store_true", help="do not look for mirrored and turned copies")


def run(args: argparse.Namespace) -> int:
    """Find copies; print how many, and where they are told."""
    if args.undo is not None:
        return _undo(args.undo)
    if args.source is None or args.out is None:
        raise UsageError("--in and --out are both needed", "for example:  --in pictures --out found")
    from charaforge.curation.dedupe.dedupe import finish
    from charaforge.curation.dedupe.features import stage
    from charaforge.curation.dedupe.sheet import write_sheet
    from charaforge.curation.inputs import inputs, run_on

    rows = run_on(stage(), inputs(args.source, bootstrap()), args.out / "cache")
    found = finish(args.out, rows, args.radius, any_turn=not args.no_turns)
    write_sheet(args.out / "dedupe.html", found, rows)
    _tell(found, rows)
    print(f"table:     {found.table}")
    print(f"to review: {args.out / 'dedupe.html'}")
    if args.apply:
        _apply(args, found, rows)
    return ExitCode.PASS


def _tell(found: Deduped, rows: dict[Path, Row]) -> None:
    told = found.summary
    errors = sum(bool(row.get("error")) for row in rows.values())
    turned = ", ".join(f"{count} {turn}" for turn, count in told["turned"].items())
    print(f"pictures:  {len(rows)}, {errors} with errors")
    print(f"copies:    {told['copies']} in {told['groups']} groups, {told['exact']} of them equal files")
    print(f"turned:    {turned or 'none'}")
    print(
        f"by chance: {told['expected_random_pairs']:.2g} pairs of unrelated pictures have hashes within"
        f" {told['radius']} bits; {told['told_apart']} pairs were told apart by a closer look"
    )


def _apply(args: argparse.Namespace, found: Deduped, rows: dict[Path, Row]) -> None:
    from charaforge.curation.dedupe.applying import JOURNAL, link_kept, move_copies

    root = args.source if args.source.is_dir() else args.source.parent
    if args.apply == "move":
        print(f"moved:     {move_copies(found.copies, rows, root, args.out)} to {args.out / 'copies'}")
    else:
        copies = {copy.path for copy in found.copies}
        kept = [path for path, row in rows.items() if not row.get("error") and path not in copies]
        print(f"linked:    {link_kept(kept, root, args.out)} in {args.out / 'kept'}")
    print(f"to undo:   charaforge dedupe --undo {args.out / JOURNAL}")


def _undo(journal: Path) -> int:
    from charaforge.curation.dedupe.applying import undo

    undone, faults = undo(journal)
    print(f"taken back: {undone}")
    for fault in faults:
        print(fault)
    return ExitCode.FAULT if faults else ExitCode.PASS
