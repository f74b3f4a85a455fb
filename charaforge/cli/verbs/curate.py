"""`charaforge curate`: a folder of pictures in, a clean training table out."""

from __future__ import annotations

import argparse
from pathlib import Path

from charaforge.cli.verbs import dedupe, merge, pose, tag
from charaforge.errors import ExitCode
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

NAME = "curate"
HELP = "a folder of pictures in, a clean training table out: dedupe, tag, pose, merge"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the pictures; they are not changed")
    merge.add_told_arguments(parser)
    parser.add_argument(
        "--keep-traits",
        action="store_true",
        help="keep tags of the character's traits [default: the trigger word stands for them]",
    )
    dedupe.add_search_arguments(parser)
    tag.add_rule_arguments(parser)
    pose.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Curate; print the report and where the table is."""
    from charaforge.curation import report
    from charaforge.curation.curate import Tools, curate
    from charaforge.curation.pose import Estimators
    from charaforge.perception.opening import open_detector, open_pose, open_tagger

    warehouse = bootstrap()
    registry = Registry(warehouse)
    told, dataset = merge.told_of(args, warehouse)
    rules = tag.rules_of(args)
    traits = rules.traits.model_copy(update={"prune": not args.keep_traits})
    tools = Tools(
        [open_tagger(registry, name) for name in dict.fromkeys(args.tagger or ["mini-tagger"])],
        rules.model_copy(update={"traits": traits}),
        Estimators(
            open_pose(registry, args.pose_model),
            open_detector(registry, args.detector) if args.detector else None,
        ),
        maps=not args.no_maps,
        radius=args.radius,
        any_turn=not args.no_turns,
    )
    result = curate(args.folder, told, dataset, tools)
    print("\n".join(report.lines(result.report)))
    total = sum(result.seconds.values())
    print(f"time:      {total:.0f} s, {result.report['pictures'] / total:.1f} pictures/s")
    print(f"table:     {result.table}")
    print(f"next:      charaforge train --data {result.table}")
    return ExitCode.PASS
