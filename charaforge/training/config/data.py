"""The keys of a training configuration that say what is learnt from: pictures, captions, sizes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from charaforge.config import StrictModel
from charaforge.errors import suggestion

TEMPLATE_FIELDS = ("character", "outfit", "style", "pose_tag", "tags")
"""What may stand in square brackets in a caption template."""

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


class DataSettings(StrictModel):
    """Pictures, captions and sizes."""

    dataset_meta: Path | None = Field(None, description="metadata table, CSV or Parquet")
    train_data_dir: Path | None = Field(None, description="folder of pictures with .txt captions beside them")
    character: str = Field(
        "", description="the trigger; of a table, only the rows of this character are read"
    )
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
    resolution: int | None = Field(
        None, ge=64, le=4096, multiple_of=8, description="px; default: the model's own"
    )
    validation_share: float = Field(
        0.125, ge=0, le=0.5, description="of pictures held out if the table has no val split"
    )

    @field_validator("character", "tag_field", mode="after")
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
