"""Bodies and answers of the routes that render pictures; they wrap the library's request models."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from charaforge.requests.generation import MAX_LORAS, GenerationRequest, LoraName, LoraUse, PictureRequest
from charaforge.requests.grammar_loras import lora_tag
from charaforge.requests.inputs import (
    MAX_REFERENCES,
    Control,
    ControlScale,
    ControlType,
    InitImage,
    Keypoints,
    PicturePath,
    Reference,
    RegistryName,
)

Example = dict[str, JsonValue]
Scale = Annotated[float, Field(ge=-4.0, le=4.0)]
LORAS: Example = {"lora_ids": ["charA_sdxl_r16_v1"], "lora_scales": [0.8]}
SMOKE: Example = {
    "prompt": "anime girl, blue hair, hoodie, looking at camera",
    "steps": 25,
    "width": 768,
    "height": 768,
    "seed": 1234,
}
FULL: Example = {
    "prompt": "anime, blue hair, hoodie, 3/4 view",
    "negative": "blurry, extra fingers",
    "width": 768,
    "height": 768,
    "steps": 25,
    "seed": 1234,
    "scheduler": "euler_a",
    **LORAS,
    "ip_adapter": {"face_ref": "/abs/path/face.png", "weight": 0.7},
}
POSE: Example = {
    "prompt": "anime [character] running, masterpiece",
    "pose_image": "/abs/path/pose.png",
    "strength": 0.9,
    "guidance": 1.2,
    "lora_ids": ["charA_sd15_r16_v1"],
}


def _one_or_several(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


References = Annotated[
    tuple[Reference, ...],
    Field(max_length=MAX_REFERENCES),
    BeforeValidator(_one_or_several, json_schema_input_type=Reference | tuple[Reference, ...]),
]


class PictureBody(PictureRequest):
    """One picture; models and LoRAs by their names, never by paths."""

    lora_ids: tuple[LoraName, ...] = Field((), max_length=MAX_LORAS, description="names of LoRAs")
    lora_scales: tuple[Scale, ...] | None = Field(
        None, max_length=MAX_LORAS, description="a weight for each LoRA; absent: 1 for all"
    )
    ip_adapter: References = Field((), description="a reference, or a list of them")

    @model_validator(mode="after")
    def _loras_fit(self) -> Self:
        if self.lora_scales is not None and len(self.lora_scales) != len(self.lora_ids):
            raise ValueError(
                f"{len(self.lora_ids)} lora_ids, {len(self.lora_scales)} lora_scales: give one scale per id"
            )
        if len(set(self.lora_ids)) != len(self.lora_ids):
            raise ValueError("lora_ids names the same LoRA more than once")
        return self

    def request(self) -> GenerationRequest:
        """Return the library's request.

        Raises:
            pydantic.ValidationError: the parts do not go together.
        """
        shared = {name: getattr(self, name) for name in PictureRequest.model_fields}
        scales = self.lora_scales if self.lora_scales is not None else (1.0,) * len(self.lora_ids)
        loras = tuple(LoraUse(name=n, weight=w) for n, w in zip(self.lora_ids, scales, strict=True))
        return GenerationRequest(**{**shared, "loras": loras, "references": self.ip_adapter, **self.parts()})

    def parts(self) -> dict[str, Any]:
        """Return what a body has beyond txt2img, as fields of the library's request."""
        return {}


class Txt2ImgBody(PictureBody):
    """A picture from words."""

    model_config = ConfigDict(json_schema_extra={"examples": [SMOKE, FULL]})


class Img2ImgBody(InitImage, PictureBody):
    """A picture from words and another picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prompt": "1girl, night", "image": "/abs/path/a.png", "denoise": 0.6}]
        }
    )

    def parts(self) -> dict[str, Any]:
        """Return the picture to start from."""
        return {"init": InitImage(**{name: getattr(self, name) for name in InitImage.model_fields})}


class InpaintBody(Img2ImgBody):
    """A picture of which a masked part is drawn anew."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "1girl, red hair", "image": "/abs/path/a.png", "mask": "/abs/path/mask.png"}
            ]
        }
    )

    mask: PicturePath = Field(description="white = redraw, black = keep")


class ControlBody(ControlScale, PictureBody):
    """A picture that follows something; each route says what."""

    control_model: RegistryName | None = Field(
        None, description="ControlNet; absent: the base's own for this type"
    )

    def control(self, kind: ControlType) -> Control:
        """Return the control of the route."""
        shared = {name: getattr(self, name) for name in ControlScale.model_fields}
        return Control(type=kind, model=self.control_model, **shared, **self.source())

    def source(self) -> dict[str, Any]:
        """Return what the control follows, as fields of the library's `Control`."""
        return {}

    def controlled(self, kind: ControlType) -> GenerationRequest:
        """Return the library's request, with the control of the route before those of the body.

        Raises:
            pydantic.ValidationError: the parts do not go together.
        """
        own = self.request()
        data = {name: getattr(own, name) for name in GenerationRequest.model_fields}
        return GenerationRequest(**{**data, "controls": (self.control(kind), *self.controls)})


class MapBody(ControlBody):
    """A picture that follows a map, or a picture that the map is made from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prompt": "1girl, smile", "control_image": "/abs/path/a.png", "strength": 0.8}]
        }
    )

    control_image: PicturePath = Field(description="a finished map, or a picture to make one from")

    def source(self) -> dict[str, Any]:
        """Return the map."""
        return {"image": self.control_image}


class PoseBody(ControlBody):
    """A picture in a pose: of a skeleton map, a picture, or key points."""

    model_config = ConfigDict(json_schema_extra={"examples": [POSE]})

    control_image: PicturePath | None = Field(None, description="the same as pose_image")
    pose_image: PicturePath | None = Field(None, description="PNG, JPEG, WebP, or a JSON file of key points")
    pose_keypoints: Keypoints | None = Field(None, description="OpenPose or COCO key points")

    @model_validator(mode="after")
    def _one_pose(self) -> Self:
        if [self.control_image, self.pose_image, self.pose_keypoints].count(None) != 2:
            raise ValueError("give exactly one of pose_image, pose_keypoints and control_image")
        return self

    def source(self) -> dict[str, Any]:
        """Return the picture, or the key points."""
        return {"image": self.pose_image or self.control_image, "keypoints": self.pose_keypoints}


def posted(request: GenerationRequest) -> tuple[str, dict[str, Any]]:
    """Return the route and the body that ask for the first picture of a request.

    LoRAs with a weight of their own in the text encoders, or factors for blocks, stand as tags in the prompt.
    """
    told = request.model_dump(mode="json", exclude_none=True, exclude={"count"})
    init, references = told.pop("init", None), told.pop("references")
    del told["loras"]
    plain = [lora for lora in request.loras if lora.te_weight is None and not lora.blocks]
    tags = [lora_tag(lora) for lora in request.loras if lora not in plain]
    body = {**told, "prompt": "".join([request.prompt, *tags])}
    if plain:
        body |= {
            "lora_ids": [lora.name for lora in plain],
            "lora_scales": [lora.weight for lora in plain],
        }
    if references:
        body["ip_adapter"] = references
    if init is None:
        return "/txt2img", body
    return ("/inpaint" if "mask" in init else "/img2img"), body | init
