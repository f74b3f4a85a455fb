"""The keys of a training configuration that say how the LoRA is handed on: its file and its card."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from charaforge.config import StrictModel


class PublishingSettings(StrictModel):
    """The file and its card."""

    save_precision: Literal["fp16", "bf16", "fp32"] = Field(
        "fp16", description="format of the file's weights; every program reads fp16"
    )
    thumbnail: Literal["sample", "picture", "none"] = Field(
        "sample", description="small picture in the file's header: a sample, or a picture trained on"
    )
    save_times: bool = Field(
        False, description="write when it was trained into the file; equal runs then give unequal files"
    )
    author: str = Field("", description="for the header and the card")
    license: str = Field("", description="of the LoRA, for the header and the card")
    comment: str = Field("", description="for the header and the card")
