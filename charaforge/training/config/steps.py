"""The keys of a training configuration that say how weights move: optimiser, rates, batches, precision."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from charaforge.config import StrictModel
from charaforge.errors import suggestion

OPTIMIZERS = ("adamw", "adamw8bit", "prodigy", "adafactor", "lion", "lion8bit")
"""Optimisers that are known by name; any other is given as `package.module.Class`."""

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class StepSettings(StrictModel):
    """Optimiser, rates, batches, number format."""

    learning_rate: float = Field(1e-4, gt=0, le=10)
    text_encoder_learning_rate: float | None = Field(
        None, gt=0, le=10, description="default: a fifth of the other"
    )
    lr_scheduler: Literal["constant", "linear", "cosine", "cosine_with_restarts", "rex"] = "cosine"
    lr_scheduler_cycles: int = Field(1, ge=1, description="falls of cosine_with_restarts")
    lr_warmup_steps: int = Field(0, ge=0)
    lr_warmup_share: float = Field(0.0, ge=0, lt=1, description="the same, as a share of max_train_steps")
    train_batch_size: int = Field(2, ge=1, description="pictures per process and pass")
    gradient_accumulation_steps: int = Field(1, ge=1, description="passes per step")
    max_train_steps: int = Field(2000, ge=1)
    use_8bit_adam: bool | None = Field(None, description="true is optimizer: adamw8bit, false is adamw")
    optimizer: str | None = Field(
        None,
        description="adamw, adamw8bit, prodigy, adafactor, lion, lion8bit, or package.module.Class; "
        "default: adamw8bit where bitsandbytes is installed",
    )
    optimizer_args: dict[str, bool | int | float | str | list[float] | None] = Field(
        default_factory=dict, description="further arguments of the optimiser's class"
    )
    adam_betas: tuple[float, float] | None = Field(None, description="default: 0.9, 0.99")
    adam_epsilon: float | None = Field(None, gt=0, description="default: the optimiser's own")
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, ge=0, description="longer gradients are cut to it; 0: never")
    seed: int = Field(0, ge=0, lt=2**63)
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware multiplies it, else fp32; fp16 and bf16 need a GPU"
    )

    @field_validator("optimizer")
    @classmethod
    def _known_optimizer(cls, name: str | None) -> str | None:
        if name is None or name in OPTIMIZERS or _IMPORT_PATH.fullmatch(name):
            return name
        hint = suggestion(name, OPTIMIZERS)
        raise ValueError(f"unknown optimizer; {hint}; or give package.module.Class")

    @field_validator("adam_betas")
    @classmethod
    def _shares(cls, betas: tuple[float, float] | None) -> tuple[float, float] | None:
        if betas is not None and not all(0 <= beta < 1 for beta in betas):
            raise ValueError("each must be at least 0 and less than 1")
        return betas

    @model_validator(mode="after")
    def _one_optimizer(self) -> Self:
        told = "adamw8bit" if self.use_8bit_adam else "adamw"
        if self.optimizer and self.use_8bit_adam is not None and self.optimizer != told:
            both = f"use_8bit_adam: {str(self.use_8bit_adam).lower()} and optimizer: {self.optimizer}"
            raise ValueError(f"{both} contradict each other; give one of them")
        return self

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.lr_warmup_steps and self.lr_warmup_share:
            raise ValueError("lr_warmup_steps and lr_warmup_share say the same thing; give one of them")
        return self

    @property
    def asked_optimizer(self) -> str | None:
        """The optimiser that was asked for by either key; None where the trainer chooses."""
        if self.use_8bit_adam is not None:
            return "adamw8bit" if self.use_8bit_adam else "adamw"
        return self.optimizer

    @property
    def eight_bit(self) -> bool:
        """Whether 8-bit Adam was asked for, by either key."""
        return self.asked_optimizer == "adamw8bit"

    @property
    def text_learning_rate(self) -> float:
        """Learning rate of the text encoder's adapter."""
        return self.text_encoder_learning_rate or self.learning_rate / 5

    @property
    def warmup(self) -> int:
        """Steps in which the rate rises to its full height."""
        return self.lr_warmup_steps or round(self.lr_warmup_share * self.max_train_steps)

    @property
    def pictures_per_step(self) -> int:
        """Pictures that one process sees in one step."""
        return self.train_batch_size * self.gradient_accumulation_steps
