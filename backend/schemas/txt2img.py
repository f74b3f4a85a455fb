"""Body and answer of `POST /txt2img`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from charaforge.requests.generation import (
    MAX_LORAS,
    GenerationRequest,
    LoraName,
    LoraUse,
    PictureRequest,
)

Scale = Annotated[float, Field(ge=-4.0, le=4.0)]


class Txt2ImgBody(PictureRequest):
    """One picture from a prompt; models and LoRAs by their names, never by paths."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "prompt": "anime girl, blue hair, hoodie, looking at camera",
                    "steps": 25,
                    "width": 768,
                    "height": 768,
                    "seed": 1234,
                }
            ]
        }
    )

    lora_ids: tuple[LoraName, ...] = Field((), max_length=MAX_LORAS, description="names of LoRAs")
    lora_scales: tuple[Scale, ...] | None = Field(
        None, description="a weight for each LoRA; absent: 1 for all"
    )

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
        """Return the library's request."""
        shared = {name: getattr(self, name) for name in PictureRequest.model_fields}
        scales = self.lora_scales if self.lora_scales is not None else (1.0,) * len(self.lora_ids)
        loras = tuple(LoraUse(name=n, weight=w) for n, w in zip(self.lora_ids, scales, strict=True))
        return GenerationRequest(**shared, loras=loras)


class Txt2ImgReply(BaseModel):
    """Where the picture is."""

    image_path: str = Field(description="absolute path of the PNG")
    metadata_path: str = Field(description="absolute path of its JSON sidecar")
    elapsed_ms: int = Field(description="from the start of the work to the saved picture, in milliseconds")
