"""What is measured: one LoRA, some prompts and seeds, and how the pictures are rendered."""

from pathlib import Path

from pydantic import Field

from charaforge.config import StrictModel
from charaforge.requests.samplers import DEFAULT_SAMPLER

BAR = 0.80
"""Share of accepted pictures that the lower bound must reach ("character consistency >= 0.8")."""


class EvaluationPlan(StrictModel):
    """One evaluation."""

    lora: str = Field(description="registry name of the LoRA, or of a checkpoint: <id>@<step>")
    model: str = Field(description="registry name of the base model")
    table: Path = Field(description="metadata table with the held-out references (split ref)")
    character: str = Field("", description="which character of the table; empty where it has only one")
    prompts: Path = Field(description="prompts file, JSON")
    max_prompts: int | None = Field(None, ge=2, description="use only the first prompts of the file")
    max_fresh: int | None = Field(
        None, ge=2, description="fresh prompts of a choice's numbers, at most; None: as many as it has itself"
    )
    seeds: int = Field(4, ge=1, le=64, description="pictures per prompt and arm")
    first_seed: int = Field(1000, ge=0, description="seed of each prompt's first picture; the next grow by 1")
    lookalike: str = Field(
        "", description="LoRA of a lookalike, scored as the character; empty: no such control"
    )
    lookalike_word: str = Field("", description="trigger word of the lookalike's LoRA")
    lora_weight: float = Field(1.0, ge=0, le=4, description="weight of the LoRA; 0 = the base alone")
    impostors: Path | None = Field(
        None, description="folder or table of other characters; None: packs and the warehouse's tables"
    )
    pose_dir: Path | None = Field(None, description="poses that the prompts are rendered in as well")
    drift_prompts: int = Field(10, ge=0, description="prompts rendered without the character; 0 = no drift")
    certificate: bool = Field(False, description="meant to be published: 100 prompts × 4 are called for")
    steps: int = Field(20, ge=1, le=150, description="denoising steps")
    guidance: float | None = Field(
        None, gt=0, le=30, description="scale of classifier-free guidance; None: as the base model likes it"
    )
    scheduler: str = Field(DEFAULT_SAMPLER, description="sampler")
    bar: float = Field(BAR, gt=0, lt=1, description="share that the lower bound must reach")
    out: Path = Field(description="folder of the report and its pictures")
    command: str = Field("", description="command line that repeats the measurement")
