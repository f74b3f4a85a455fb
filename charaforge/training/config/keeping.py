"""The keys of a training configuration that say what is looked at and kept on the way."""

from __future__ import annotations

from pydantic import Field

from charaforge.config import StrictModel


class KeepingSettings(StrictModel):
    """Checkpoints, validation, early stop, samples."""

    save_every_steps: int = Field(500, ge=1, description="a checkpoint that can be used, each time")
    validate_every_steps: int = Field(100, ge=1, description="loss on held-out pictures, each time")
    early_stop_patience: int = Field(
        0, ge=0, description="validations without a good loss before it ends; 0: never"
    )
    early_stop_tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share that a good loss may lie above the lowest; the last good step is taken",
    )
    sample_prompts: tuple[str, ...] = Field((), description="rendered with the finished LoRA into samples/")
