"""What a request can give beside words: a picture to start from, control maps, references, a hires pass.

Pictures are named by path here. The service takes upload ids and paths inside the allowed roots, and hands
resolved paths on; the recipe of a picture names each input by the sha256 of its file.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from charaforge.config.model import StrictModel

ControlType = Literal["pose", "depth", "canny", "lineart"]
CONTROL_TYPES: tuple[ControlType, ...] = ("pose", "depth", "canny", "lineart")
MAX_CONTROLS = 4
MAX_REFERENCES = 4
LATENT_UPSCALE = "latent"
LANCZOS = "lanczos"

PicturePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
MAX_KEYPOINTS = 1_000_000  # characters of JSON
MAX_KEYPOINT_DEPTH = 16  # lists and objects inside one another; known layouts have 6 at most


def _plain_json(value: dict[str, Any] | list[Any]) -> dict[str, Any] | list[Any]:
    """Refuse what a JSON file could not hold: NaN, infinity, broken text, too much of it, too deep."""
    if _deeper(value, MAX_KEYPOINT_DEPTH):
        raise ValueError(f"key points are nested more than {MAX_KEYPOINT_DEPTH} deep")
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:  # UnicodeEncodeError is one
        raise ValueError("key points hold a number or text that JSON does not have") from error
    if size > MAX_KEYPOINTS:
        raise ValueError(f"key points of {size} bytes; at most {MAX_KEYPOINTS}")
    return value


def _deeper(value: Any, limit: int) -> bool:
    """Tell whether lists and objects stand more than `limit` deep inside one another."""
    level = [value]
    for _ in range(limit + 1):
        holders = [one for one in level if isinstance(one, dict | list)]
        level = [inner for one in holders for inner in (one.values() if isinstance(one, dict) else one)]
    return bool(holders)


Keypoints = Annotated[dict[str, Any] | list[Any], AfterValidator(_plain_json)]
RegistryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]


class InitImage(StrictModel):
    """The picture that img2img and inpainting start from."""

    image: PicturePath = Field(description="the picture; it is brought to the size asked for")
    denoise: float = Field(
        0.75, ge=0.0, le=1.0, description="share of the steps that are run: 0 keeps it, 1 redraws it"
    )
    mask: PicturePath | None = Field(None, description="white = redraw, black = keep; absent: redraw all")
    mask_blur: int = Field(4, ge=0, le=64, description="softening of the mask's edge, in pixels")
    fill: Literal["original", "noise", "blur"] = Field(
        "original", description="what the masked part begins as: the picture, pure noise, or its blurred self"
    )
    area: Literal["whole", "masked"] = Field(
        "whole", description="render the whole picture, or only the masked part at full resolution"
    )
    padding: int = Field(32, ge=0, le=256, description="pixels around the masked part with area 'masked'")

    @model_validator(mode="after")
    def _mask_where_it_is_needed(self) -> Self:
        if self.mask is None and (self.fill != "original" or self.area != "whole"):
            raise ValueError("fill and area 'masked' need a mask")
        return self


class Hires(StrictModel):
    """A second pass at a larger size: the first picture is enlarged, then redrawn in part."""

    scale: float = Field(2.0, gt=1.0, le=4.0, description="the size asked for is this times the first pass")
    upscaler: RegistryName = Field(
        LATENT_UPSCALE, description="'latent', 'lanczos', or the registry name of an upscaler"
    )
    steps: int = Field(0, ge=0, le=150, description="steps of the second pass; 0 = as many as the first")
    denoise: float = Field(0.5, gt=0.0, le=1.0, description="share of the second pass that is run")


class ControlScale(StrictModel):
    """How a ControlNet acts, whatever it follows."""

    preprocessor: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")] = Field(
        "auto", description="'auto' (a map is used as it is), 'none', or a preprocessor's name"
    )
    strength: float = Field(1.0, ge=0.0, le=2.0, description="scale of the control; 0 = none")
    start: float = Field(0.0, ge=0.0, le=1.0, description="share of the steps from which on it acts")
    end: float = Field(1.0, ge=0.0, le=1.0, description="share of the steps until which it acts")


class Control(ControlScale):
    """One ControlNet: what holds the picture, how strongly, and during which part of the steps."""

    type: ControlType = Field(description="what kind of map it follows")
    image: PicturePath | None = Field(None, description="a finished map, or a picture to make one from")
    keypoints: Keypoints | None = Field(None, description="pose only: OpenPose or COCO key points, as JSON")
    model: RegistryName | None = Field(None, description="ControlNet; absent: the base's own for this type")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.image is None) == (self.keypoints is None):
            raise ValueError("give exactly one of image and keypoints")
        if self.keypoints is not None and self.type != "pose":
            raise ValueError(f"keypoints belong to type 'pose', not {self.type!r}")
        if self.start >= self.end:
            raise ValueError(f"start {self.start:g} is not before end {self.end:g}")
        return self


class Reference(StrictModel):
    """One IP-Adapter reference: a picture whose face or style is taken over."""

    face_ref: PicturePath | None = Field(None, description="picture of the face or character")
    style_ref: PicturePath | None = Field(None, description="picture of the style")
    weight: float = Field(1.0, ge=0.0, le=2.0, description="how strongly; 0 = not at all")
    model: RegistryName | None = Field(None, description="IP-Adapter; absent: the base's own")

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if (self.face_ref is None) == (self.style_ref is None):
            raise ValueError("give exactly one of face_ref and style_ref")
        return self

    @property
    def image(self) -> str:
        """Path of the reference, whichever it is."""
        return self.face_ref or self.style_ref or ""


class Variation(StrictModel):
    """Noise of a second seed mixed into that of the first (spherical interpolation)."""

    seed: int = Field(-1, ge=-1, le=2**32 - 1, description="second seed; -1 = random, recorded")
    strength: float = Field(0.0, ge=0.0, le=1.0, description="0 = the first seed's picture, 1 = the second's")
