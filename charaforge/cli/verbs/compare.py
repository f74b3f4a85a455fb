"""`charaforge compare`: two LoRAs of one character on the same prompts and seeds."""

from __future__ import annotations

import argparse

from charaforge.cli.eval_options import add_common, common_plan, lora_name, trigger_of
from charaforge.errors import ExitCode
from charaforge.warehouse.bootstrap import bootstrap

NAME = "compare"
HELP = "compare two LoRAs of one character, paired by prompt and seed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("a", metavar="A", help="a LoRA: its name or its folder; NAME@STEP works")
    parser.add_argument("b", metavar="B", help="another one")
    add_common(parser)
    parser.add_argument(
        "--margin",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="how far A may lie below B and still count as no worse [default: 0.05]",
    )


def run(args: argparse.Namespace) -> int:
    """Compare, write `comparison.md` and `comparison.json`, print the result.

    Returns:
        0 when A is no worse than B by more than the margin, with 95 % confidence; 3 when nothing can be
        measured; 4 otherwise.
    """
    warehouse = bootstrap()
    a, b = (lora_name(asked, warehouse) for asked in (args.a, args.b))
    from charaforge.config import parse
    from charaforge.evaluation.comparison import compare, write_comparison
    from charaforge.evaluation.plan import EvaluationPlan
    from charaforge.evaluation.tables import between

    plan = parse(EvaluationPlan, common_plan(args, a, warehouse), "charaforge compare")
    word = args.character or trigger_of(b, warehouse)
    found = compare(plan, b, word, args.margin, warehouse)
    report = write_comparison(found, args.out)
    shares = f"{found.a.accepted.estimate:.3f} and {found.b.accepted.estimate:.3f}"
    gap = f"{found.gain.estimate:+.3f} ({between(found.gain)})"
    print(f"{found.headline}\n\n{shares}, difference {gap}\n\nreport: {report}")
    return ExitCode.PASS if found.passed else ExitCode.FAILED
