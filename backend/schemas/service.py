"""Small bodies."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from charaforge.config.model import StrictModel
from charaforge.requests.generation import LoraName, ModelName
from charaforge.requests.inputs import PicturePath


class LoraBody(StrictModel):
    """Which LoRA to pin or to free."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"lora_id": "charA_sd15_r16_v1"}]})

    lora_id: LoraName = Field(description="name of the LoRA")
    model: ModelName | None = Field(None, description="base to pin it on; absent: the default model")


class InspectBody(StrictModel):
    """Which picture to look into."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": "/abs/path/0001.png"}]})

    image: PicturePath = Field(description="upload id, or a path inside the warehouse")


class LoginBody(StrictModel):
    """The token, given once by a browser."""

    token: str = Field(max_length=1024, description="the service's API_TOKEN")
