"""`charaforge pose`: key points, pose tags and ControlNet maps of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from charaforge.errors import ExitCode
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

NAME = "pose"
HELP = "find key points, name poses, draw OpenPose maps"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--in",
        dest="source",
        type=Path,
        required=True,
        metavar="PATH",
        help="folder of pictures, or a metadata table",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where pose.parquet, pose/ and summary.json go"
    )
    add_model_arguments(parser)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose what looks at the pictures."""
    parser.add_argument(
        "--pose-model",
        default="mini-pose",
        metavar="NAME",
        help="SimCC model by its name, or MediaPipe's .task file by its path [default: mini-pose]",
    )
    parser.add_argument(
        "--detector",
        metavar="NAME",
        help="person detector [default: none, the whole picture is one person's box]",
    )
    parser.add_argument("--no-maps", action="store_true", help="draw no maps for ControlNets")


def run(args: argparse.Namespace) -> int:
    """Run the stage; print where its table is."""
    from charaforge.curation import pose
    from charaforge.curation.inputs import inputs, run_on
    from charaforge.curation.table import read_summary
    from charaforge.perception.opening import open_detector, open_pose

    warehouse = bootstrap()
    registry = Registry(warehouse)
    found = inputs(args.source, warehouse)
    detector = open_detector(registry, args.detector) if args.detector else None
    estimators = pose.Estimators(open_pose(registry, args.pose_model), detector)
    rows = run_on(pose.pose_stage(estimators), found, args.out / "cache")
    table = pose.finish(args.out, rows, estimators, maps=not args.no_maps)
    told = read_summary(args.out)[pose.NAME]
    print(f"pictures:  {told['pictures']}, {told['errors']} with errors")
    print(f"poses:     {', '.join(f'{tag} {count}' for tag, count in told['pose_tags'].items())}")
    print(f"table:     {table}")
    return ExitCode.PASS
