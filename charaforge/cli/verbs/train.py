"""`charaforge train`: pictures of a character in, a LoRA out."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charaforge.errors import ExitCode, UsageError
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.training.config import TrainingConfig
    from charaforge.warehouse.layout import Warehouse

NAME = "train"
HELP = "train a LoRA on pictures of one character"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    where = parser.add_argument_group("what to learn from: a configuration file, or pictures and a name")
    where.add_argument(
        "--config", type=Path, metavar="YAML", help="configuration; other options go before it"
    )
    where.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="folder of pictures with captions beside them, or a metadata table",
    )
    where.add_argument(
        "--character", metavar="NAME", help="the word that shall stand for the character in prompts"
    )
    where.add_argument(
        "--queue",
        type=Path,
        nargs="+",
        metavar="YAML",
        help="several configurations, one after the other; a run that fails does not stop the rest",
    )
    parser.add_argument("--model", metavar="NAME", help="base model [default: DEFAULT_MODEL, else mini-sd]")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the LoRA [default: in the warehouse]"
    )
    parser.add_argument("--rank", type=int, metavar="R", help="rank of the LoRA")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of the optimiser, at most")
    parser.add_argument("--batch-size", type=int, metavar="B", help="pictures per step")
    parser.add_argument("--learning-rate", type=float, metavar="LR", help="peak learning rate")
    parser.add_argument("--seed", type=int, metavar="S", help="of everything random in the run")
    parser.add_argument(
        "--check",
        action="store_true",
        help="read and check everything, say what would be done and what memory it takes; train nothing",
    )
    parser.add_argument(
        "--vram",
        type=float,
        metavar="GB",
        help="with --check: a GPU's memory in GiB [default: of the one at hand]",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="begin anew where an earlier run was stopped or finished"
    )


def run(args: argparse.Namespace) -> int:
    """Train; print where the LoRA is."""
    warehouse = bootstrap()
    if args.queue:
        return _queue(args, warehouse)
    config = _config(args, warehouse)
    from charaforge.training import run as training

    if args.check:
        return _check(config, warehouse, args.vram)
    if args.fresh:
        training.set_aside(config.output_dir)
    result = training.run(config, warehouse)
    told = f", held-out loss {result.best_loss:.4f} at its best" if result.best_loss is not None else ""
    print(f"steps:  {result.steps}, weights of step {result.chosen_step}{told}")
    print(f"time:   {result.seconds:.0f} s")
    print(f"LoRA:   {result.lora_file}")
    return ExitCode.PASS


def _queue(args: argparse.Namespace, warehouse: Warehouse) -> int:
    """Train several configurations; print the table of what became of them."""
    from datetime import UTC, datetime

    from charaforge.training.queue import run_queue, table

    if args.config or args.data or _options(args) or args.check or args.fresh:
        raise UsageError(
            "--queue takes everything from its configurations", "leave out the other options of train"
        )
    now = datetime.now(UTC)
    folder = warehouse.output_folder(now.date(), f"{now:%H%M%S}-queue")
    outcomes = run_queue(args.queue, folder)
    print(table(outcomes), end="")
    print(f"also in {folder / 'results.md'}, with a log of each run")
    return ExitCode.PASS if all(one.result == "done" for one in outcomes) else ExitCode.FAULT


def _check(config: TrainingConfig, warehouse: Warehouse, vram_gib: float | None) -> int:
    """Print what a run would do; write nothing but the list of what is left out."""
    from charaforge.training import preflight
    from charaforge.training import run as training
    from charaforge.training.preflight.memory import gpu_memory

    run = training.prepare(config, warehouse)
    memory = gpu_memory(run.processes.device) if vram_gib is None else int(vram_gib * 2**30)
    for line in preflight.report(run, memory, estimate=True):
        print(line)
    listed = preflight.write_quarantine(run.dataset, config.output_dir)
    if listed is not None:
        print(f"left out  listed in {listed}")
    print("checked; nothing was trained (--check)")
    return ExitCode.PASS


def _config(args: argparse.Namespace, warehouse: Warehouse) -> TrainingConfig:
    from charaforge.config import load_yaml, parse
    from charaforge.training.config import TrainingConfig

    if (args.config is None) == (args.data is None):
        raise UsageError(
            "give either --config or --data",
            "for example:  charaforge train --data pictures --character NAME",
        )
    if args.config is None:
        return parse(TrainingConfig, _from_options(args, warehouse), "charaforge train")
    told = load_yaml(args.config, TrainingConfig).model_dump(exclude_unset=True)
    return parse(TrainingConfig, told | _options(args), str(args.config))


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as options."""
    options = {
        "model_id": args.model,
        "character": args.character,
        "output_dir": args.out,
        "rank": args.rank,
        "max_train_steps": args.steps,
        "train_batch_size": args.batch_size,
        "learning_rate": args.learning_rate,
        "seed": args.seed,
    }
    return {key: value for key, value in options.items() if value is not None}


def _from_options(args: argparse.Namespace, warehouse: Warehouse) -> dict[str, Any]:
    """Return the settings of a run without a configuration file: what suits its base, then the options."""
    from charaforge.config.settings import default_model
    from charaforge.training.presets import preset
    from charaforge.warehouse.registry import Registry

    if not (args.character or "").strip():
        hint = "give the word that shall stand for the character in prompts"
        raise UsageError("--character is missing", hint)
    base = Registry(warehouse).get(args.model or default_model(), "base")
    source = "dataset_meta" if args.data.is_file() else "train_data_dir"
    settings = {**preset(base), "model_id": base.name, source: args.data.absolute()} | _options(args)
    words = f"{args.character}_{base.name}_r{settings.get('rank', 16)}"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-.")
    return {"output_dir": warehouse.lora_folder(name)} | settings
