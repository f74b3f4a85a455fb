"""The road from a table of pictures to a LoRA with a report.

train (stopped by the loss on held-out pictures) -> render the same prompts and seeds in every arm
-> score against references that no training has seen -> report.html
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import Field

from charaforge.config import StrictModel, parse
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.protocol import evaluate
from charaforge.evaluation.publish import publish
from charaforge.evaluation.results import Evaluation
from charaforge.forge.stages import Stages
from charaforge.training.config import TrainingConfig
from charaforge.training.presets import preset
from charaforge.training.run import run as train
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry


class RoadPlan(StrictModel):
    """What a road begins with, and how far it looks around."""

    table: Path = Field(description="metadata table: splits train, ref, calib")
    character: str = Field(description="whose rows of the table; the trigger word")
    model: str = Field(description="registry name of the base model")
    lora: Path = Field(description="folder of the LoRA in models/lora; its last part is the LoRA's id")
    training: dict[str, Any] = Field(
        default_factory=dict, description="keys that differ from the base's preset"
    )
    prompts: Path = Field(description="prompts file, JSON")
    max_prompts: int | None = Field(None, ge=2, description="use only the first prompts of the file")
    seeds: int = Field(2, ge=1, le=64, description="pictures per prompt and arm")
    out: Path = Field(description="folder of marks, pictures and report")
    command: str = Field("", description="command line that walks the road again")
    seconds_before: dict[str, float] = Field(default_factory=dict, description="stages done by the caller, s")


@dataclass(frozen=True, slots=True)
class RoadEnd:
    """Where a road ends.

    Attributes:
        evaluation: What was measured.
        report: The page to look at.
        lora: Folder of the LoRA.
    """

    evaluation: Evaluation
    report: Path
    lora: Path


def walk(plan: RoadPlan, warehouse: Warehouse) -> RoadEnd:
    """Walk the road; what an earlier, stopped walk did is not done again.

    Raises:
        KeyboardInterrupt: stopped; the same call goes on from there.
        CharaForgeError: a stage cannot be done; the subclass and message say why.
    """
    config = _training_config(plan, warehouse)
    inputs = {"config": config.model_dump(mode="json"), "table": sha256(plan.table.read_bytes()).hexdigest()}
    training_s = Stages(plan.out / "stages").run("training", inputs, lambda: train(config, warehouse))
    evaluation = evaluate(_evaluation_plan(plan), warehouse)
    seconds = {**plan.seconds_before, "training": training_s, **evaluation.seconds}
    evaluation = evaluation.model_copy(update={"seconds": seconds})
    return RoadEnd(evaluation, publish(evaluation, plan.out, warehouse), config.output_dir)


def _training_config(plan: RoadPlan, warehouse: Warehouse) -> TrainingConfig:
    """The settings that suit the base model, with the plan's own keys."""
    base = Registry(warehouse).get(plan.model, "base")
    given = {"model_id": base.name, "dataset_meta": plan.table, "output_dir": plan.lora}
    told = {**preset(base), **given, "character": plan.character, **plan.training}
    return parse(TrainingConfig, told, "training of the road")


def _evaluation_plan(plan: RoadPlan) -> EvaluationPlan:
    return EvaluationPlan(
        lora=plan.lora.name,
        model=plan.model,
        table=plan.table,
        character=plan.character,
        prompts=plan.prompts,
        max_prompts=plan.max_prompts,
        seeds=plan.seeds,
        out=plan.out,
        command=plan.command,
    )
