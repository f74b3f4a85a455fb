"""The keys of a training configuration that say what is looked at and kept on the way."""

from __future__ import annotations

from pydantic import Field

from charaforge.config import StrictModel


class KeepingSettings(StrictModel):
    """Checkpoints, validation, early stop, samples, the guard, logs."""

    save_every_steps: int = Field(500, ge=1, description="a checkpoint that can be used, each time")
    keep_last: int = Field(0, ge=0, description="checkpoints that are kept, the newest; 0: all")
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
    sample_prompts: tuple[str, ...] = Field(
        (), description="rendered into samples/, always with the same seed"
    )
    sample_negative: str = Field("", description="negative prompt of the samples")
    sample_every_steps: int = Field(
        0, ge=0, description="samples on the way, each time; 0: with the finished LoRA only"
    )
    loss_spike_factor: float = Field(
        20.0,
        ge=0,
        description="a step whose loss exceeds this many times the running mean is undone; 0: none is",
    )
    max_rollbacks: int = Field(3, ge=1, description="the run stops when a step was undone this many times")
    log_every_steps: int | None = Field(
        None, ge=1, description="losses are read from the device each time; default: 1 on a CPU, 10 on a GPU"
    )
    tensorboard: bool = Field(True, description="curves in logs/ too, where TensorBoard is installed")
    wandb_project: str = Field("", description="curves to this project of Weights & Biases too")
