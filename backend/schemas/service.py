"""What the service tells about itself, its models and its files."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from charaforge.config.model import StrictModel
from charaforge.requests.generation import LoraName, ModelName
from charaforge.requests.inputs import PicturePath


class Health(BaseModel):
    """The service is up."""

    ok: bool = True
    version: str
    jobs: Literal["embedded", "workers"] = Field(description="where pictures are rendered")


class Ready(BaseModel):
    """The service takes jobs."""

    ready: bool = True
    waiting: int = Field(description="jobs that are not done")


class Model(BaseModel):
    """One model."""

    name: str = Field(description="the name to ask for it by")
    kind: str
    family: str = Field(description="sd15, sdxl, or empty where it does not matter or is not known")
    embedded: bool = Field(description="whether it comes with the package")


class Lora(Model):
    """One LoRA."""

    file: str = Field(description="name of its file or folder")
    loaded: bool = Field(description="whether it is pinned: loaded and kept warm by every worker")


class LoraBody(StrictModel):
    """Which LoRA to pin or to free."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"lora_id": "charA_sd15_r16_v1"}]})

    lora_id: LoraName = Field(description="name of the LoRA")
    model: ModelName | None = Field(None, description="base to pin it on; absent: the default model")


class LoraReply(BaseModel):
    """Whether a LoRA is pinned now."""

    lora_id: str
    loaded: bool


class Scheduler(BaseModel):
    """One sampler with its schedule."""

    name: str = Field(description="the name to ask for it by")
    label: str = Field(description="A1111's name of the sampler")
    schedule: str = Field(description="A1111's name of the schedule type")
    diffusers: str = Field(description="class name of the diffusers scheduler")


class Upload(BaseModel):
    """A picture that was taken in."""

    id: str = Field(description="what requests name it by: the sha256 of its bytes")
    width: int
    height: int
    format: str
    bytes: int


class InspectBody(StrictModel):
    """Which picture to look into."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": "/abs/path/0001.png"}]})

    image: PicturePath = Field(description="upload id, or a path inside the warehouse")


class Inspection(BaseModel):
    """What a picture says about its making."""

    model_config = ConfigDict(extra="allow")

    source: str = Field(description="which program's metadata was read; empty: none was found")
    request: dict[str, Any] | None = Field(description="the request that it came from, as far as it is known")


class Output(BaseModel):
    """One picture of the past."""

    url: str = Field(description="where this service shows it")
    image_path: str
    metadata_path: str
    created_s: float = Field(description="seconds since 1970")


class Outputs(BaseModel):
    """The newest pictures, newest first."""

    images: list[Output]


class LoginBody(StrictModel):
    """The token, given once by a browser."""

    token: str = Field(max_length=1024, description="the service's API_TOKEN")
