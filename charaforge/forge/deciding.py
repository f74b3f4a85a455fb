"""The second step: whether likeness can be measured at all, and how much is spent on this LoRA."""

import shutil
import time
from pathlib import Path
from typing import Any

from charaforge.config import parse
from charaforge.evaluation.arms import native_side
from charaforge.evaluation.features import look
from charaforge.evaluation.judges import Judges, open_judges
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.study import trait_finder, yardstick_of
from charaforge.evaluation.subject import load_subject
from charaforge.forge.effort import Effort, Pace, fitting, usual, whole_steps
from charaforge.forge.plan import ForgePlan
from charaforge.generation.generator import Generator, Way
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.together import FULL
from charaforge.training.config import TrainingConfig
from charaforge.training.presets import preset
from charaforge.training.run import run as train
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry

_FEW, _MORE = 2, 10
_REPORTS_S = 15.0
"""What the reports take, s."""
_WITH_LORA = 1.2
"""A picture with an unfused LoRA against one without."""


def decided(plan: ForgePlan, table: Path, warehouse: Warehouse) -> dict[str, Any]:
    """Set the threshold, and turn the budget into counts; measures the pace where there is a budget.

    Raises:
        NotMeasurableError: real pictures are not accepted, or there is nobody to tell them from; said before
            anything is trained.
        UsageError: the budget is too small.
    """
    registry = Registry(warehouse)
    base = registry.get(plan.model, "base")
    started = time.monotonic()
    subject = load_subject(table, plan.character, warehouse, trait_finder(registry, base))
    judges = open_judges(registry, base, subject, plan.impostors)
    yardstick_of(judges, subject)
    looking_s = time.monotonic() - started
    config = training_config(plan, table, warehouse)
    posed = plan.pose_dir is not None
    if plan.budget_s is None:
        effort = usual(config.max_train_steps, plan.certificate, posed, plan.sheet)
        return {"effort": _changed(effort, plan).model_dump(mode="json"), "pace": None}
    pace = _measured(plan, config, base, judges, looking_s, warehouse)
    effort = fitting(plan.budget_s, config.max_train_steps, pace, posed, plan.sheet)
    return {"effort": _changed(effort, plan).model_dump(mode="json"), "pace": pace.model_dump()}


def training_config(
    plan: ForgePlan, table: Path, warehouse: Warehouse, effort: Effort | None = None
) -> TrainingConfig:
    """The training: what suits the base, the plan's own keys, and as many steps as were decided.

    It never stops early: which step is best is decided by likeness, not by the loss.
    """
    base = Registry(warehouse).get(plan.model, "base")
    told: dict[str, Any] = {**preset(base), "early_stop_patience": 0, **plan.training}
    told |= {
        "model_id": base.name,
        "dataset_meta": table,
        "character": plan.character,
        "output_dir": warehouse.lora_folder(plan.lora),
    }
    if plan.steps is not None:
        told["max_train_steps"] = plan.steps
    if effort is not None:
        told["max_train_steps"] = effort.steps
        told["save_every_steps"] = told["validate_every_steps"] = effort.save_every
    return parse(TrainingConfig, told, "training of the forge")


def evaluation_plan(plan: ForgePlan, effort: Effort, table: Path) -> EvaluationPlan:
    """What is measured; its prompts serve the choice."""
    return EvaluationPlan(
        lora=plan.lora,
        model=plan.model,
        table=table,
        character=plan.character,
        prompts=plan.prompts,
        max_prompts=None if effort.fresh > effort.prompts else effort.prompts,
        seeds=effort.seeds,
        impostors=plan.impostors,
        pose_dir=plan.pose_dir,
        drift_prompts=effort.drift,
        certificate=plan.certificate,
        steps=plan.sampling_steps,
        bar=plan.bar,
        out=plan.out,
        command=plan.command,
    )


def _changed(effort: Effort, plan: ForgePlan) -> Effort:
    """What the plan says itself goes before what was found."""
    checkpoints = plan.checkpoints or effort.checkpoints
    prompts = plan.max_prompts or effort.prompts
    return effort.model_copy(
        update={
            "checkpoints": checkpoints,
            "steps": whole_steps(plan.steps or effort.steps, checkpoints),
            "prompts": prompts,
            "fresh": plan.max_prompts or effort.fresh,
            "seeds": plan.seeds or effort.seeds,
            "drift": min(effort.drift, prompts),
        }
    )


def _measured(
    plan: ForgePlan,
    config: TrainingConfig,
    base: ModelEntry,
    judges: Judges,
    looking_s: float,
    warehouse: Warehouse,
) -> Pace:
    """Train a few steps and render a few pictures, with a clock."""
    few_s, more_s = (_training_s(plan, config, steps, warehouse) for steps in (_FEW, _MORE))
    step_s = max((more_s - few_s) / (_MORE - _FEW), 1e-3)
    picture_s, loading_s = _picture_s(plan, base, judges, warehouse)
    fixed_s = few_s + looking_s + loading_s + _REPORTS_S
    return Pace(step_s=round(step_s, 4), picture_s=round(picture_s, 4), fixed_s=round(fixed_s, 1))


def _training_s(plan: ForgePlan, config: TrainingConfig, steps: int, warehouse: Warehouse) -> float:
    folder = plan.out / "pace"
    shutil.rmtree(folder, ignore_errors=True)
    never = {"save_every_steps": 10_000, "validate_every_steps": 10_000, "tensorboard": False}
    short = config.model_copy(update={"max_train_steps": steps, "output_dir": folder, **never})
    started = time.monotonic()
    train(short, warehouse)
    seconds = time.monotonic() - started
    shutil.rmtree(folder)
    return seconds


def _picture_s(
    plan: ForgePlan, base: ModelEntry, judges: Judges, warehouse: Warehouse
) -> tuple[float, float]:
    """Time of one picture with a LoRA, rendered and judged, and that of loading what renders, s."""
    generator, side = Generator(warehouse), native_side(base.card, base.family)
    asked = GenerationRequest(
        prompt="1girl",
        model=base.name,
        width=side,
        height=side,
        steps=plan.sampling_steps,
        seed=1,
        count=FULL,
    )
    folder = plan.out / "pace"
    folder.mkdir(parents=True, exist_ok=True)
    laps = []
    for _ in range(2):
        started = time.monotonic()
        made = list(generator.generate_many([asked], way=Way(micro_batch=FULL)))
        laps.append(time.monotonic() - started)
    files = [folder / f"{index}.png" for index in range(len(made))]
    for file, one in zip(files, made, strict=True):
        one.image.save(file)
    started = time.monotonic()
    look(judges, files)
    judging_s = time.monotonic() - started
    shutil.rmtree(folder)
    return (_WITH_LORA * laps[1] + judging_s) / FULL, max(laps[0] - laps[1], 0.0)
