"""The options that `eval` and `compare` share, and what they mean."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from charaforge.errors import NotMeasurableError, UnknownNameError, UsageError
from charaforge.warehouse.cards import model_id
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import recommended_weight
from charaforge.warehouse.registry import Registry

if TYPE_CHECKING:
    from charaforge.evaluation.subject import TrainingRecord


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add prompts, references, impostors and how pictures are rendered."""
    parser.add_argument("--prompts", type=Path, required=True, metavar="JSON", help="prompts file")
    parser.add_argument(
        "--pose_dir", type=Path, metavar="DIR", help="poses that the prompts are rendered in as well"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of reports and pictures"
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="TABLE",
        help="table with the references (split ref) [default: the LoRA's]",
    )
    parser.add_argument(
        "--impostors",
        type=Path,
        metavar="DIR|TABLE",
        help="other characters [default: packs beside the identity model, tables of the warehouse]",
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
        "--weight",
        type=float,
        metavar="W",
        help="weight of the LoRA, 0 to 4 [default: the chosen one; 1 where none was, and to compare]",
    )


def lora_name(asked: str, warehouse: Warehouse) -> str:
    """The registry name of a LoRA that is given by name or by path.

    Raises:
        UsageError: the path lies outside of models/lora.
        UnknownNameError: there is no such LoRA.
    """
    known = {entry.name: entry for entry in Registry(warehouse).list("lora")}
    if asked in known:
        return asked
    if "@" in asked and not Path(asked).exists():
        return Registry(warehouse).get(asked, "lora").name
    path = Path(asked)
    if not path.exists():
        raise UnknownNameError("lora model", path.name or asked, known, hint=f"LoRAs lie in {warehouse.lora}")
    if path.resolve().parent != warehouse.lora.resolve():
        raise UsageError(f"{path} lies outside of {warehouse.lora}", "move or link the LoRA there")
    return model_id(path)


def common_plan(args: argparse.Namespace, name: str, warehouse: Warehouse) -> dict[str, object]:
    """What the shared options say about one LoRA, as values of an `EvaluationPlan`.

    Raises:
        NotMeasurableError: nothing says where its references are.
        UsageError: nothing says for which base it was made.
    """
    record = record_of(name, warehouse)
    table = args.dataset or (record and record.table)
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
        "lora_weight": recommended_weight(name, Registry(warehouse)) if args.weight is None else args.weight,
        "impostors": args.impostors,
        "pose_dir": args.pose_dir,
        "out": args.out,
        "command": command_of(args),
    }


def record_of(name: str, warehouse: Warehouse) -> TrainingRecord | None:
    """How a LoRA, or the LoRA of a checkpoint, was trained; None where nothing tells."""
    from charaforge.evaluation.subject import training_record

    return training_record(warehouse.lora_folder(name.partition("@")[0]))


def trigger_of(name: str, warehouse: Warehouse) -> str:
    """The word that triggers a LoRA.

    Raises:
        UsageError: nothing says which.
    """
    from charaforge.evaluation.subject import characters_in

    record = record_of(name, warehouse)
    table = record and record.table
    known = [record.character] if record and record.character else characters_in(table) if table else []
    if len(known) != 1:
        raise UsageError(f"nothing says which word triggers {name}", "train it with the key character")
    return known[0]


def command_of(args: argparse.Namespace) -> str:
    """The command line that repeats a measurement."""
    given = {k: v for k, v in vars(args).items() if is_given(v) and k not in _NOT_SAID}
    positional = [str(given.pop(key)) for key in ("a", "b") if key in given]
    words = list(positional)
    for key, value in given.items():
        words.append(f"--{key if key in _UNDERSCORED else key.replace('_', '-')}")
        words += [] if value is True else [str(value)]
    return shlex.join(["charaforge", "compare" if positional else "eval", *words])


def is_given(value: object) -> bool:
    """Whether an option was given; 0 is a value as good as any."""
    return value is not None and value is not False and value not in ("", [])


_NOT_SAID = ("verbose",)
_UNDERSCORED = ("pose_dir",)
