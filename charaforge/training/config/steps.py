"""The keys of a training configuration that say how weights move: optimiser, rates, batches, precision."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from charaforge.config import StrictModel


class StepSettings(StrictModel):
    """Optimiser, rates, batches, number format."""

    learning_rate: float = Field(1e-4, gt=0, le=10)
    text_encoder_learning_rate: float | None = Field(
        None, gt=0, le=10, description="default: a fifth of the other"
    )
    lr_scheduler: Literal["constant", "cosine"] = "cosine"
    lr_warmup_steps: int = Field(0, ge=0)
    train_batch_size: int = Field(2, ge=1, description="pictures per process and pass")
    gradient_accumulation_steps: int = Field(1, ge=1, description="passes per step")
    max_train_steps: int = Field(2000, ge=1)
    use_8bit_adam: bool | None = Field(None, description="the same as optimizer: adamw8bit")
    optimizer: Literal["adamw", "adamw8bit"] | None = Field(None, description="default: adamw")
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0, lt=2**63)
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware multiplies it, else fp32; fp16 and bf16 need a GPU"
    )

    @model_validator(mode="after")
    def _one_optimizer(self) -> Self:
        contradicted = self.use_8bit_adam is not None and self.use_8bit_adam != (
            self.optimizer == "adamw8bit"
        )
        if self.optimizer and contradicted:
            told = f"use_8bit_adam: {self.use_8bit_adam} and optimizer: {self.optimizer}"
            raise ValueError(f"{told} contradict each other; give one of them")
        return self

    @property
    def eight_bit(self) -> bool:
        """Whether 8-bit Adam was asked for, by either key."""
        return bool(self.use_8bit_adam) or self.optimizer == "adamw8bit"

    @property
    def text_learning_rate(self) -> float:
        """Learning rate of the text encoder's adapter."""
        return self.text_encoder_learning_rate or self.learning_rate / 5

    @property
    def pictures_per_step(self) -> int:
        """Pictures that one process sees in one step."""
        return self.train_batch_size * self.gradient_accumulation_steps
