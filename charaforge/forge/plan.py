"""What a forging begins with: the folder, the name, the base, and what may be spent."""

from pathlib import Path
from typing import Any

from pydantic import Field

from charaforge.config import StrictModel
from charaforge.evaluation.plan import BAR


class ForgePlan(StrictModel):
    """Everything that decides how a folder becomes a LoRA."""

    folder: Path = Field(description="the pictures; nothing in it is changed")
    character: str = Field(min_length=1, description="name of the character; the trigger word")
    model: str = Field(description="registry name of the base model")
    lora: str = Field(pattern=r"^[A-Za-z0-9._-]{1,128}$", description="id of the LoRA in models/lora")
    dataset: str = Field(description="name of the table in datasets/metadata")
    out: Path = Field(description="folder of forge.json, reports, pictures and the sheet")
    prompts: Path = Field(description="prompts that the checkpoint is chosen with, JSON")
    fresh_prompts: Path | None = Field(
        None, description="prompts of the published numbers; None: others of `prompts` than the choice has"
    )
    impostors: Path | None = Field(
        None, description="folder or table of other characters; None: packs and the warehouse's tables"
    )
    pose_dir: Path | None = Field(None, description="poses that the prompts are rendered in as well")
    budget_s: float | None = Field(None, gt=0, description="time for everything after curation, s")
    strict_budget: bool = Field(True, description="refuse a budget in which not even the least fits")
    certificate: bool = Field(False, description="100 fresh prompts × 4 seeds instead of 40 × 4")
    steps: int | None = Field(None, ge=1, description="training steps; None: the base's preset, or less")
    checkpoints: int | None = Field(None, ge=1, le=64, description="checkpoints; None: as time allows")
    max_prompts: int | None = Field(
        None, ge=2, description="prompts of the choice, and as many fresh ones, at most; None: as time allows"
    )
    seeds: int | None = Field(None, ge=1, le=64, description="pictures per prompt; None: as time allows")
    training: dict[str, Any] = Field(
        default_factory=dict, description="keys of the training that differ from the base's preset"
    )
    sampling_steps: int = Field(20, ge=1, le=150, description="denoising steps of every picture")
    sheet: bool = Field(True, description="whether a character sheet is drawn")
    sheet_seed: int = Field(1, ge=0, description="seed of the character sheet")
    bar: float = Field(BAR, gt=0, lt=1, description="share that the lower bound must reach")
    command: str = Field("", description="command line that goes on with it")
