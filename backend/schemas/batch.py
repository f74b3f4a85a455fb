"""Bodies about batches and other long jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from charaforge.config.model import StrictModel
from charaforge.jobstore.retention import What
from charaforge.requests.generation import LoraName, ModelName

FilePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f/\\]+$")]


class VerifyBody(StrictModel):
    """How many pictures to render again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"count": 8}]})

    count: int = Field(8, ge=1, le=1000, description="pictures, chosen at random among those that are done")


class TrainBody(StrictModel):
    """What `charaforge train` learns from, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"data": "datasets/metadata/mochi.parquet", "character": "mochi"},
                {"config": "charA_sd15_r16", "steps": 2000},
            ]
        }
    )

    config: FilePath | None = Field(
        None, description="a configuration: the name of a shipped one, or a YAML file inside the warehouse"
    )
    data: FilePath | None = Field(None, description="folder of pictures, or metadata table, in the warehouse")
    character: Word | None = Field(None, description="the word that shall stand for the character")
    model: ModelName | None = Field(None, description="base model")
    rank: int | None = Field(None, ge=1, le=1024, description="rank of the LoRA")
    steps: int | None = Field(None, ge=1, le=10_000_000, description="steps of the optimiser, at most")
    batch_size: int | None = Field(None, ge=1, le=1024, description="pictures per step")
    learning_rate: float | None = Field(None, gt=0.0, le=1.0, description="peak learning rate")
    seed: int | None = Field(None, ge=0, le=2**32 - 1, description="of everything random in the run")
    check: bool = Field(False, description="read and check everything, train nothing")


class CurateBody(StrictModel):
    """What `charaforge curate` makes a table of."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"folder": "datasets/raw/mochi", "character": "mochi"}]}
    )

    folder: FilePath = Field(description="the pictures, in the warehouse; they are not changed")
    character: Word = Field(description="whose pictures they are")
    outfit: Word | None = Field(None, description="of all pictures; absent: as they show")
    style: Word | None = Field(None, description="of all pictures")


class EvalBody(StrictModel):
    """What `charaforge eval` measures."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"lora": "charA_sd15_r16_v1", "seeds": 4}]})

    lora: LoraName = Field(description="the LoRA")
    prompts: FilePath | None = Field(
        None, description="prompts file inside the warehouse; absent: the shipped charA_eval_prompts.json"
    )
    pose_dir: FilePath | None = Field(None, description="poses that the prompts are rendered in as well")
    dataset: FilePath | None = Field(None, description="table with the references; absent: the LoRA's")
    character: Word | None = Field(None, description="whose rows of the table; absent: the LoRA's")
    model: ModelName | None = Field(None, description="base model; absent: the LoRA's")
    impostors: FilePath | None = Field(
        None, description="folder or table of other characters; absent: packs and the warehouse's tables"
    )
    seeds: int = Field(4, ge=1, le=64, description="pictures per prompt")
    max_prompts: int | None = Field(None, ge=2, description="use only the first so many prompts")
    drift_prompts: int = Field(10, ge=0, description="prompts rendered without the character")
    weight: float | None = Field(
        None, ge=0.0, le=4.0, description="weight of the LoRA; absent: the one chosen for it, else 1"
    )
    lookalike: LoraName | None = Field(None, description="a lookalike's LoRA, which must not pass")
    bar: float = Field(0.8, gt=0.0, lt=1.0, description="share that the lower bound must reach")
    certificate: bool = Field(False, description="to be published: say where 100 prompts × 4 are not reached")
    choose: bool = Field(
        False, description="choose among its checkpoints and weights, and make the choice the LoRA"
    )
    fresh_prompts: FilePath | None = Field(
        None, description="with `choose`: prompts of the published numbers; absent: the shipped ones, or half"
    )


class GcBody(StrictModel):
    """What to look for among what can go."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"kinds": ["uploads"], "older_than_days": 30}]})

    kinds: tuple[What, ...] = Field(("uploads", "caches", "leftovers"), description="kinds of things")
    older_than_days: float = Field(30.0, ge=0.0, le=36_500.0, description="what is younger stays")
    delete: bool = Field(False, description="delete it; otherwise nothing is touched")
