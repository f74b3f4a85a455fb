"""The keys of a training configuration that say what is learnt from: pictures, captions, sizes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from charaforge.config import StrictModel
from charaforge.errors import suggestion

TEMPLATE_FIELDS = ("character", "outfit", "style", "pose_tag", "tags")
"""What may stand in square brackets in a caption template."""

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def _default(settings: StrictModel, key: str) -> object:
    return type(settings).model_fields[key].default


class SourceSettings(StrictModel):
    """Where pictures come from, and how often each is shown."""

    dataset_meta: Path | None = Field(None, description="metadata table, CSV or Parquet")
    train_data_dir: Path | None = Field(None, description="folder of pictures with .txt captions beside them")
    character: str = Field(
        "", description="the trigger; of a table, only the rows of this character are read"
    )
    repeats: int = Field(1, ge=1, le=1000, description="times that an epoch shows each picture")
    balance_outfits: bool = Field(
        False, description="repeat the pictures of rare outfits until all are shown about as often"
    )
    reg_meta: Path | None = Field(None, description="table of the regularisation set: others of the class")
    reg_data_dir: Path | None = Field(None, description="the same as a folder with captions")
    prior_loss_weight: float = Field(
        1.0, gt=0, le=10, description="weight of a regularisation picture in the loss"
    )
    mask_dir: Path | None = Field(
        None, description="folder of masks named as the pictures; white counts, black hardly"
    )
    alpha_mask: bool = Field(False, description="take each picture's own transparency as its mask")
    unmasked_weight: float = Field(0.1, ge=0, le=1, description="weight of what a mask leaves out")
    validation_share: float = Field(
        0.125, ge=0, le=0.5, description="of pictures held out if the table has no val split"
    )


class CaptionSettings(StrictModel):
    """What is said of a picture."""

    tag_field: str = Field("tags", min_length=1, description="column that holds the tags")
    caption_template: str = Field(
        "[character]", description="with [character] [outfit] [style] [pose_tag] [tags]"
    )
    prune_tags: tuple[str, ...] = Field(
        (), description="tags left out, so that the trigger comes to stand for them"
    )
    shuffle_tags: bool = Field(True, description="shuffle the tags behind the template's words")
    keep_tokens: int = Field(
        0, ge=0, le=255, description="first tags behind the template's words that keep their place"
    )
    tag_dropout: float = Field(0.0, ge=0, lt=1, description="share of tags left out of a caption, at random")
    caption_dropout: float = Field(0.05, ge=0, lt=1, description="share of samples with an empty caption")
    caption_variants: int = Field(
        16, ge=1, le=1024, description="shuffled captions per picture that are cached"
    )
    weighted_tags: bool = Field(
        False, description="read (tag:1.2) in captions as prompts do; brackets of a name are then \\( \\)"
    )
    max_token_length: Literal[75, 150, 225] = Field(75, description="tokens of a caption that are read")
    clip_skip: int = Field(
        1, ge=1, le=12, description="layer of the text encoder, from the end: 2 for SD1.5 anime bases"
    )
    max_truncated_share: float = Field(
        0.10, ge=0, le=1, description="refuse beyond this share of cut-off captions"
    )
    max_empty_share: float = Field(
        0.10, ge=0, le=1, description="refuse beyond this share of pictures without words"
    )

    @field_validator("caption_template")
    @classmethod
    def _known_fields(cls, template: str) -> str:
        for name in _BRACKETS.findall(template):
            if name not in TEMPLATE_FIELDS:
                raise ValueError(f"unknown field [{name}]; {suggestion(name, list(TEMPLATE_FIELDS))}")
        return template


class SizeSettings(StrictModel):
    """What pictures are cut to."""

    resolution: int | None = Field(
        None, ge=64, le=4096, multiple_of=8, description="px; default: the model's own"
    )
    buckets: bool = Field(True, description="keep each picture's aspect; false: cut all to squares")
    bucket_step: int | None = Field(
        None, ge=8, le=512, multiple_of=8, description="px between sizes; default: a sixteenth of resolution"
    )
    max_aspect: float = Field(
        2.0, ge=1, le=4, description="longest side over shortest; longer pictures are cut"
    )
    max_buckets: int | None = Field(
        None, ge=1, le=64, description="at most so many sizes, those that cut off least"
    )
    upscale: bool = Field(True, description="enlarge pictures that are smaller than resolution")
    flip_aug: bool = Field(False, description="show every picture mirrored too; not for asymmetric designs")
    crop_variants: int = Field(
        1, ge=1, le=64, description="cuts of each picture: the middle, then random ones"
    )
    crop_scale: float = Field(
        0.85, gt=0.3, le=1, description="smallest share of each side that a random cut keeps"
    )


class DataSettings(SourceSettings, CaptionSettings, SizeSettings):
    """Pictures, captions and sizes."""

    @field_validator("character", "tag_field", mode="after")
    @classmethod
    def _strip(cls, text: str) -> str:
        return text.strip()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset_meta is None) == (self.train_data_dir is None):
            raise ValueError(
                "give either dataset_meta (a table) or train_data_dir (a folder), not both or none"
            )
        if self.reg_meta is not None and self.reg_data_dir is not None:
            raise ValueError("give either reg_meta (a table) or reg_data_dir (a folder), not both")
        return self

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> Self:
        """Refuse keys that were given and do nothing: they are meant to do something."""
        masked = self.mask_dir is not None or self.alpha_mask
        needs = {
            "prior_loss_weight": ("reg_data_dir or reg_meta", self.has_regularisation),
            "unmasked_weight": ("mask_dir or alpha_mask", masked),
            "crop_scale": ("crop_variants of 2 or more", self.crop_variants > 1),
            "bucket_step": ("buckets: true", self.buckets),
            "max_buckets": ("buckets: true", self.buckets),
        }
        given = self.model_fields_set
        changed = (key for key in needs if key in given and getattr(self, key) != _default(self, key))
        told = [f"{key} does nothing without {needs[key][0]}" for key in changed if not needs[key][1]]
        if self.mask_dir is not None and self.alpha_mask:
            told.append("mask_dir and alpha_mask both say what counts; give one of them")
        if told:
            raise ValueError("; ".join(told))
        return self

    @property
    def has_regularisation(self) -> bool:
        """Whether a regularisation set is given."""
        return self.reg_meta is not None or self.reg_data_dir is not None
