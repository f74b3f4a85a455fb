"""`charaforge eval`: measure how much the pictures of a LoRA look like its character."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from charaforge.errors import ExitCode, NotMeasurableError, UnknownNameError, UsageError
from charaforge.logs import get_logger
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.cards import model_id
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

NAME = "eval"
HELP = "measure how much generated pictures look like the character"

_TABLES = ("metadata.parquet", "metadata.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--lora", required=True, metavar="NAME|DIR", help="the LoRA: its name or its folder")
    parser.add_argument("--prompts", type=Path, required=True, metavar="JSON", help="prompts file")
    parser.add_argument("--pose_dir", type=Path, metavar="DIR", help="poses named by the prompts")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of report and pictures"
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="TABLE",
        help="table with the references (split ref) [default: the LoRA's]",
    )
    parser.add_argument(
        "--character", default="", metavar="NAME", help="whose rows of the table [default: the LoRA's]"
    )
    parser.add_argument("--model", metavar="NAME", help="base model [default: the LoRA's]")
    parser.add_argument(
        "--seeds", type=int, default=4, metavar="N", help="pictures per prompt, >= 1 [default: 4]"
    )
    parser.add_argument("--max-prompts", type=int, metavar="N", help="use only the first N prompts")
    parser.add_argument(
        "--weight", type=float, default=1.0, metavar="W", help="weight of the LoRA, 0 to 4 [default: 1]"
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
    """Measure, write the report, print the verdict; exit code 4 when the lower bound is below the bar."""
    warehouse = bootstrap()
    name = lora_name(args.lora, warehouse)
    from charaforge.config import parse
    from charaforge.evaluation.plan import EvaluationPlan
    from charaforge.evaluation.protocol import evaluate
    from charaforge.evaluation.publish import publish
    from charaforge.evaluation.verdict import verdict

    plan = parse(EvaluationPlan, _plan(args, name, warehouse), "charaforge eval")
    if args.pose_dir is not None:
        _check_poses(args.pose_dir, args.prompts)
    evaluation = evaluate(plan, warehouse)
    report = publish(evaluation, plan.out, warehouse)
    told = verdict(evaluation)
    print(f"{told.headline}\n\n{told.paragraph}\n\nreport: {report}")
    return ExitCode.PASS if told.passed else ExitCode.FAILED


def lora_name(asked: str, warehouse: Warehouse) -> str:
    """The registry name of a LoRA that is given by name or by path.

    Raises:
        UsageError: the path lies outside of models/lora.
        UnknownNameError: there is no such LoRA.
    """
    known = {entry.name: entry for entry in Registry(warehouse).list("lora")}
    if asked in known:
        return asked
    path = Path(asked)
    if not path.exists():
        raise UnknownNameError("lora model", path.name or asked, known, hint=f"LoRAs lie in {warehouse.lora}")
    if path.resolve().parent != warehouse.lora.resolve():
        raise UsageError(f"{path} lies outside of {warehouse.lora}", "move or link the LoRA there")
    return model_id(path)


def _plan(args: argparse.Namespace, name: str, warehouse: Warehouse) -> dict[str, object]:
    from charaforge.evaluation.subject import training_record

    record = training_record(warehouse.lora_folder(name))
    table = args.dataset or (record and (record.dataset_meta or _table_in(record.train_data_dir)))
    if table is None:
        raise NotMeasurableError(
            f"nothing says which pictures {name} was not trained on",
            "give a metadata table with --dataset; rows of split ref are the references",
        )
    model = args.model or (record and record.model_id)
    if not model:
        raise UsageError(f"nothing says for which base model {name} was made", "give it with --model")
    return {
        "lora": name,
        "model": model,
        "table": table,
        "character": args.character or (record.character if record else ""),
        "prompts": args.prompts,
        "max_prompts": args.max_prompts,
        "seeds": args.seeds,
        "lora_weight": args.weight,
        **_lookalike(args.lookalike, warehouse),
        "bar": args.bar,
        "out": args.out,
        "command": _command(args),
    }


def _lookalike(asked: str | None, warehouse: Warehouse) -> dict[str, object]:
    from charaforge.evaluation.subject import characters_in, training_record

    if not asked:
        return {}
    name = lora_name(asked, warehouse)
    record = training_record(warehouse.lora_folder(name))
    table = record and (record.dataset_meta or _table_in(record.train_data_dir))
    known = [record.character] if record and record.character else characters_in(table) if table else []
    if len(known) != 1:
        raise UsageError(f"nothing says which word triggers {name}", "train it with the key character")
    return {"lookalike": name, "lookalike_word": known[0]}


def _table_in(folder: Path | None) -> Path | None:
    return next((folder / t for t in _TABLES if (folder / t).is_file()), None) if folder else None


def _command(args: argparse.Namespace) -> str:
    given = {k: v for k, v in vars(args).items() if v not in (None, "", False) and k != "verbose"}
    words = [word for key, value in given.items() for word in (f"--{_OPTION.get(key, key)}", str(value))]
    return shlex.join(["charaforge", "eval", *words])


_OPTION = {"max_prompts": "max-prompts"}


def _check_poses(folder: Path, prompts: Path) -> None:
    """Poses need a ControlNet, and none is there yet: say so rather than leave them out in silence."""
    from charaforge.evaluation.prompts import load_prompts

    posed = [prompt.id for prompt in load_prompts(prompts) if prompt.pose]
    if posed:
        raise NotMeasurableError(
            f"{len(posed)} prompts name a pose of {folder}, and there is no ControlNet to render it",
            "leave out --pose_dir: likeness is measured without poses",
        )
    get_logger(__name__).info("--pose_dir: no prompt of %s names a pose, so none is used", prompts)
