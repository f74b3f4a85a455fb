"""`charaforge eval`: measure how much a LoRA's pictures look like its character; choose its checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.cli.eval_options import add_common, command_of, common_plan, lora_name, trigger_of
from charaforge.cli.shipped import FRESH_PROMPTS, PROMPTS, shipped
from charaforge.errors import ExitCode, NotMeasurableError, UsageError
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse

if TYPE_CHECKING:
    from charaforge.evaluation.results import Evaluation

NAME = "eval"
HELP = "measure how much generated pictures look like the character; --choose finds the best checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--lora", required=True, metavar="NAME|DIR", help="the LoRA: its name or its folder; NAME@STEP works"
    )
    add_common(parser)
    parser.add_argument(
        "--choose",
        action="store_true",
        help="choose among its checkpoints and weights, measure the choice anew, make it the LoRA",
    )
    parser.add_argument(
        "--fresh-prompts",
        type=Path,
        metavar="JSON",
        help="prompts of the published numbers with --choose [default: half of --prompts]",
    )
    parser.add_argument(
        "--certificate",
        action="store_true",
        help="to be published: say where 100 prompts × 4 are not reached",
    )
    parser.add_argument(
        "--drift-prompts",
        type=int,
        default=10,
        metavar="N",
        help="prompts rendered without the character [default: 10]",
    )
    parser.add_argument(
        "--lookalike", metavar="NAME", help="a lookalike's LoRA, which must not pass as the character"
    )
    parser.add_argument(
        "--bar",
        type=float,
        default=0.8,
        metavar="SHARE",
        help="share that the lower bound must reach [default: 0.8]",
    )


def run(args: argparse.Namespace) -> int:
    """Measure, write the reports, print the verdict.

    Returns:
        0 when the lower bound reaches the bar, 3 when nothing can be measured, 4 when it is below the bar or
        the pictures are copies.
    """
    warehouse = bootstrap()
    name = lora_name(args.lora, warehouse)
    from charaforge.evaluation.publish import publish, publish_refusal
    from charaforge.evaluation.results import Refusal
    from charaforge.evaluation.verdict import verdict

    try:
        evaluation = _measure(args, name, warehouse)
    except NotMeasurableError as error:
        refusal = Refusal(why=error.message, remedy=error.hint, command=command_of(args))
        print(f"not measurable\n\nreport: {publish_refusal(refusal, args.out)}")
        raise
    report = publish(evaluation, args.out, warehouse)
    told = verdict(evaluation)
    print(f"{told.headline}\n\n{told.paragraph}\n\nreport: {report}")
    return ExitCode.PASS if told.passed else ExitCode.FAILED


def _measure(args: argparse.Namespace, name: str, warehouse: Warehouse) -> Evaluation:
    from charaforge.config import parse
    from charaforge.evaluation.checkpoints import adopt
    from charaforge.evaluation.plan import EvaluationPlan
    from charaforge.evaluation.protocol import evaluate
    from charaforge.evaluation.selection import SelectionPlan, select

    told = common_plan(args, name, warehouse)
    told |= {"bar": args.bar, "certificate": args.certificate, "drift_prompts": args.drift_prompts}
    if args.lookalike:
        other = lora_name(args.lookalike, warehouse)
        told |= {"lookalike": other, "lookalike_word": trigger_of(other, warehouse)}
    plan = parse(EvaluationPlan, told, "charaforge eval")
    if not args.choose:
        return evaluate(plan, warehouse)
    if "@" in name:
        raise UsageError(
            f"--choose looks at a LoRA's checkpoints, and {name} is one", "give the LoRA's own name"
        )
    evaluation = select(SelectionPlan(evaluation=plan, fresh_prompts=_fresh(args)), warehouse)
    print(f"chosen: {adopt(evaluation, warehouse)}")
    return evaluation


def _fresh(args: argparse.Namespace) -> Path | None:
    """The fresh prompts: those named, else the shipped ones beside the shipped prompts."""
    given: Path | None = args.fresh_prompts
    if given is None and args.prompts.resolve() == shipped(PROMPTS).resolve():
        return shipped(FRESH_PROMPTS)
    return given
