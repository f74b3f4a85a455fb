"""The typed training configuration: every key of a YAML file, its default, its bounds."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from charaforge.config.settings import default_model
from charaforge.training.config.adapter import AdapterSettings
from charaforge.training.config.data import DataSettings
from charaforge.training.config.keeping import KeepingSettings
from charaforge.training.config.loss import LossSettings
from charaforge.training.config.memory import MemorySettings
from charaforge.training.config.publishing import PublishingSettings
from charaforge.training.config.steps import StepSettings


class TrainingConfig(
    DataSettings,
    AdapterSettings,
    LossSettings,
    StepSettings,
    MemorySettings,
    KeepingSettings,
    PublishingSettings,
):
    """One training run. Keys that are left out take the defaults of SD1.5 character training.

    Either `dataset_meta` or `train_data_dir` says where the pictures are.
    """

    model_id: str = Field(
        default_factory=default_model, description="base: registry name or path of a folder"
    )
    output_dir: Path = Field(description="folder of the LoRA; its last part is the LoRA's id")

    @field_validator("model_id", mode="after")
    @classmethod
    def _strip_model(cls, text: str) -> str:
        return text.strip()

    @property
    def lora_id(self) -> str:
        """Id of the LoRA: the name of its folder."""
        return self.output_dir.name
