"""The typed training configuration: every key of a YAML file, its default, its bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from charaforge.config import StrictModel
from charaforge.config.settings import default_model
from charaforge.errors import suggestion

TEMPLATE_FIELDS = ("character", "outfit", "style", "pose_tag", "tags")
"""What may stand in square brackets in a caption template."""

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


class TrainingConfig(StrictModel):
    """One training run. Keys that are left out take the defaults of SD1.5 character training.

    Either `dataset_meta` or `train_data_dir` says where the pictures are.
    """

    # what is trained, on what
    model_id: str = Field(
        default_factory=default_model, description="base: registry name or path of a folder"
    )
    dataset_meta: Path | None = Field(None, description="metadata table, CSV or Parquet")
    train_data_dir: Path | None = Field(None, description="folder of pictures with .txt captions beside them")
    output_dir: Path = Field(description="folder of the LoRA; its last part is the LoRA's id")
    character: str = Field(
        "", description="the trigger; of a table, only the rows of this character are read"
    )

    # captions
    tag_field: str = Field("tags", min_length=1, description="column that holds the tags")
    caption_template: str = Field(
        "[character]", description="with [character] [outfit] [style] [pose_tag] [tags]"
    )
    prune_tags: tuple[str, ...] = Field(
        (), description="tags left out, so that the trigger comes to stand for them"
    )
    shuffle_tags: bool = Field(True, description="shuffle the tags behind the template's words")
    tag_dropout: float = Field(0.0, ge=0, lt=1, description="share of tags left out of a caption, at random")
    caption_dropout: float = Field(0.05, ge=0, lt=1, description="share of samples with an empty caption")
    caption_variants: int = Field(
        16, ge=1, le=1024, description="shuffled captions per picture that are cached"
    )
    max_truncated_share: float = Field(
        0.10, ge=0, le=1, description="refuse beyond this share of cut-off captions"
    )

    # the adapter
    rank: int = Field(16, ge=1, le=512)
    alpha: float | None = Field(None, gt=0, description="strength is alpha / rank; default: rank / 2")
    conv_rank: int = Field(0, ge=0, le=512, description="rank on the 3x3 convolutions of resnets; 0: none")
    conv_alpha: float | None = Field(None, gt=0, description="default: conv_rank * alpha / rank")
    text_encoder_train: bool = Field(False, description="train the text encoder too")

    # steps
    resolution: int | None = Field(
        None, ge=64, le=4096, multiple_of=8, description="px; default: the model's own"
    )
    learning_rate: float = Field(1e-4, gt=0, le=10)
    text_encoder_learning_rate: float | None = Field(
        None, gt=0, le=10, description="default: a fifth of the other"
    )
    lr_scheduler: Literal["constant", "cosine"] = "cosine"
    lr_warmup_steps: int = Field(0, ge=0)
    train_batch_size: int = Field(2, ge=1, description="pictures per process and pass")
    gradient_accumulation_steps: int = Field(1, ge=1, description="passes per step")
    max_train_steps: int = Field(2000, ge=1)
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = Field(
        "auto", description="auto: bf16 where the hardware multiplies it, else fp32; fp16 and bf16 need a GPU"
    )
    use_8bit_adam: bool | None = Field(None, description="the same as optimizer: adamw8bit")
    optimizer: Literal["adamw", "adamw8bit"] | None = Field(None, description="default: adamw")
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0, lt=2**63)

    # looking and keeping
    save_every_steps: int = Field(500, ge=1, description="a checkpoint that can be used, each time")
    validate_every_steps: int = Field(100, ge=1, description="loss on held-out pictures, each time")
    validation_share: float = Field(
        0.125, ge=0, le=0.5, description="of pictures held out if the table has no val split"
    )
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

    @field_validator("model_id", "character", "tag_field", mode="after")
    @classmethod
    def _strip(cls, text: str) -> str:
        return text.strip()

    @field_validator("caption_template")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        for name in _BRACKETS.findall(template):
            if name not in TEMPLATE_FIELDS:
                raise ValueError(f"unknown field [{name}]; {suggestion(name, list(TEMPLATE_FIELDS))}")
        return template

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset_meta is None) == (self.train_data_dir is None):
            raise ValueError(
                "give either dataset_meta (a table) or train_data_dir (a folder), not both or none"
            )
        return self

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
    def lora_id(self) -> str:
        """Id of the LoRA: the name of its folder."""
        return self.output_dir.name

    @property
    def network_alpha(self) -> float:
        """Alpha of linear layers and 1x1 convolutions."""
        return self.alpha or self.rank / 2

    @property
    def network_conv_alpha(self) -> float:
        """Alpha of 3x3 convolutions: as strong as the rest where it is not given."""
        return self.conv_alpha or self.conv_rank * self.network_alpha / self.rank

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
