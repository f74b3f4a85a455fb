"""`charaforge merge`: what the stages found becomes one table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.errors import ExitCode
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.curation.dataset import Dataset
    from charaforge.curation.sources import Told
    from charaforge.warehouse.layout import Warehouse

NAME = "merge"
HELP = "merge what dedupe, tag and pose found into one table, with splits and a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--in", dest="source", type=Path, required=True, metavar="DIR", help="folder of the pictures"
    )
    add_told_arguments(parser)


def add_told_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is true of all pictures, and what the dataset is called."""
    parser.add_argument("--character", required=True, metavar="NAME", help="whom the pictures show")
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="of the dataset: the stages' tables lie in datasets/processed/NAME, the table goes to "
        "datasets/metadata/NAME.parquet [default: the character's name]",
    )
    parser.add_argument(
        "--outfit", default="", metavar="TEXT", help="where no subfolder tells it [default: from tags]"
    )
    parser.add_argument("--style", default="", metavar="TEXT", help="how the pictures are drawn")
    parser.add_argument("--source", dest="origin", default="", metavar="TEXT", help="where they come from")


def told_of(args: argparse.Namespace, warehouse: Warehouse) -> tuple[Told, Dataset]:
    """Return what the options of `add_told_arguments` say."""
    from charaforge.curation.dataset import Dataset, dataset_name
    from charaforge.curation.sources import Told

    told = Told(args.character, args.outfit, args.style, args.origin)
    return told, Dataset(dataset_name(args.character, args.name), warehouse)


def run(args: argparse.Namespace) -> int:
    """Merge; print the report and where the table is."""
    from charaforge.curation.curate import look_at, read_listing
    from charaforge.curation.dataset import write_table
    from charaforge.curation.report import lines

    told, dataset = told_of(args, bootstrap())
    imported = read_listing(args.source, told, dataset)
    look_at(imported, dataset)
    print("\n".join(lines(write_table(dataset, imported))))
    print(f"table:     {dataset.table}")
    return ExitCode.PASS
