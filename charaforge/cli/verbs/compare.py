"""`charaforge compare`: two LoRAs of one character on the same prompts and seeds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from charaforge.cli.eval_options import add_common, command_of, common_plan, lora_name, trigger_of
from charaforge.errors import ExitCode, NotMeasurableError, UsageError
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse

if TYPE_CHECKING:
    from charaforge.evaluation.comparison import Comparison, Sameness

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
    parser.add_argument(
        "--trigger-b",
        default="",
        metavar="WORD",
        help="trigger word of B [default: as its training says, else --character]",
    )


def run(args: argparse.Namespace) -> int:
    """Compare, write `comparison.md` and `comparison.json`, print the result.

    Returns:
        0 when A is no worse than B by more than the margin, with 95 % confidence, or is B itself; 3 when
        nothing can be measured; 4 otherwise.

    Raises:
        UsageError: the margin is no share.
    """
    if not 0 <= args.margin < 1:
        raise UsageError(f"--margin {args.margin:g}", "give a share from 0 to below 1, e.g. 0.05")
    warehouse = bootstrap()
    a, b = (lora_name(asked, warehouse) for asked in (args.a, args.b))
    from charaforge.evaluation.comparison import (
        Sameness,
        write_comparison,
        write_comparison_refusal,
        write_sameness,
    )
    from charaforge.evaluation.results import Refusal
    from charaforge.evaluation.tables import between

    try:
        found = _compared(args, a, b, warehouse)
    except NotMeasurableError as error:
        refusal = Refusal(why=error.message, remedy=error.hint, command=command_of(args))
        print(f"not measurable\n\nreport: {write_comparison_refusal(refusal, args.out)}")
        raise
    if isinstance(found, Sameness):
        print(f"{found.headline}\n\nreport: {write_sameness(found, args.out)}")
        return ExitCode.PASS
    report = write_comparison(found, args.out)
    shares = f"{found.a.accepted.estimate:.3f} and {found.b.accepted.estimate:.3f}"
    gap = f"{found.gain.estimate:+.3f} ({between(found.gain)})"
    told = [found.headline, f"{shares}, difference {gap}", found.advice, f"report: {report}"]
    print("\n\n".join(filter(None, told)))
    return ExitCode.PASS if found.passed else ExitCode.FAILED


def _compared(args: argparse.Namespace, a: str, b: str, warehouse: Warehouse) -> Comparison | Sameness:
    from charaforge.config import parse
    from charaforge.evaluation.comparison import compare, same_lora
    from charaforge.evaluation.plan import EvaluationPlan

    told = common_plan(args, a, warehouse) | {"lora_weight": 1.0 if args.weight is None else args.weight}
    plan = parse(EvaluationPlan, told, "charaforge compare")
    word = args.trigger_b or _trained_word(b, args.character, warehouse)
    same = same_lora(plan, b, word, warehouse)
    return same or compare(plan, b, word, args.margin, warehouse)


def _trained_word(name: str, otherwise: str, warehouse: Warehouse) -> str:
    """The trigger word that a LoRA was trained with; `otherwise`, unless it is empty, where nothing says it.

    Raises:
        UsageError: nothing says which.
    """
    try:
        return trigger_of(name, warehouse)
    except UsageError:
        if not otherwise:
            raise
        return otherwise
