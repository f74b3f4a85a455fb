"""The second step: whether likeness can be measured at all, and how much is spent on this LoRA."""

import time
from pathlib import Path
from typing import Any

from charaforge.config import parse
from charaforge.evaluation.apart import check_apart
from charaforge.evaluation.judges import open_judges
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.selection import parted
from charaforge.evaluation.study import measurable_prompts, poses_of, trait_finder, yardstick_of
from charaforge.evaluation.subject import load_subject
from charaforge.forge.effort import USUAL_PROMPTS, Effort, fitting, ladder, usual, whole_steps
from charaforge.forge.pace import measured_pace
from charaforge.forge.plan import ForgePlan
from charaforge.training.config import TrainingConfig
from charaforge.training.presets import preset
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry


def decided(plan: ForgePlan, table: Path, warehouse: Warehouse) -> dict[str, Any]:
    """Set the threshold, and turn the budget into counts; measures the pace where there is a budget.

    Raises:
        NotMeasurableError: real pictures are not accepted, there is nobody to tell them from, or a pose is
            empty; said before anything is trained.
        UsageError: the budget is too small.
    """
    registry = Registry(warehouse)
    base = registry.get(plan.model, "base")
    started = time.monotonic()
    subject = load_subject(table, plan.character, warehouse, trait_finder(registry, base))
    check_apart(subject)
    judges = open_judges(registry, base, subject, plan.impostors, [table])
    yardstick_of(judges, subject)
    if plan.pose_dir is not None:
        poses_of(measurable_prompts(plan.fresh_prompts or plan.prompts), plan.pose_dir, judges, base)
    looking_s = time.monotonic() - started
    config = training_config(plan, table, warehouse)
    posed = plan.pose_dir is not None
    if plan.budget_s is None:
        effort = suited(usual(config.max_train_steps, plan.certificate, posed, plan.sheet), plan)
        return {"effort": effort.model_dump(mode="json"), "pace": None}
    pace = measured_pace(plan, config, judges, looking_s, warehouse)
    rungs = ladder(config.max_train_steps, posed, plan.sheet, plan.certificate)
    rungs = [suited(effort, plan) for effort in rungs]
    effort = fitting(plan.budget_s, rungs, pace, plan.strict_budget)
    return {"effort": effort.model_dump(mode="json"), "pace": pace.model_dump()}


def check_prompts(plan: ForgePlan) -> None:
    """Refuse prompts that nothing could be measured with, before anything is done.

    Raises:
        NotMeasurableError: they have faults, or are too few.
        UsageError: a file of them cannot be read.
    """
    most = plan.max_prompts or USUAL_PROMPTS
    _prompts(plan, most, most)


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
    """What is measured; its prompts serve the choice, and without fresh ones the published numbers too."""
    prompts, fresh = effort.prompts, effort.fresh
    if effort.called_for and plan.budget_s is None:  # the files may have more by now; a budget is for so many
        prompts, fresh = effort.called_for
    return EvaluationPlan(
        lora=plan.lora,
        model=plan.model,
        table=table,
        character=plan.character,
        prompts=plan.prompts,
        max_prompts=_most(plan, prompts, fresh),
        max_fresh=fresh,
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


def suited(effort: Effort, plan: ForgePlan) -> Effort:
    """The effort with what the plan says itself, which goes before, and no more prompts than there are."""
    checkpoints = min(plan.checkpoints or effort.checkpoints, plan.steps or effort.steps)
    called_for = plan.max_prompts or effort.prompts, plan.max_prompts or effort.fresh
    prompts, fresh = map(len, _prompts(plan, *called_for))
    return effort.model_copy(
        update={
            "checkpoints": checkpoints,
            "steps": whole_steps(plan.steps or effort.steps, checkpoints),
            "prompts": prompts,
            "fresh": fresh,
            "called_for": None if (prompts, fresh) == called_for else called_for,
            "seeds": plan.seeds or effort.seeds,
            "drift": min(effort.drift, called_for[0]),
        }
    )


def _prompts(
    plan: ForgePlan, prompts: int, fresh: int
) -> tuple[tuple[EvalPrompt, ...], tuple[EvalPrompt, ...]]:
    """At most so many prompts of the choice, and at most so many fresh ones, as the files have them."""
    most = _most(plan, prompts, fresh)
    return parted(measurable_prompts(plan.prompts)[:most], plan.fresh_prompts, most, fresh)


def _most(plan: ForgePlan, prompts: int, fresh: int) -> int:
    """How many prompts of the file are used: those of the choice, without another file the fresh ones too."""
    return prompts if plan.fresh_prompts else prompts + fresh
