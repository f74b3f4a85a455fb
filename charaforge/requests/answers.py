"""What the service answers: shapes that it, its client and the user interfaces share."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Body of every answer that is not a success."""

    type: str = Field("about:blank", description="kind of problem, as a URN")
    title: str = Field(description="the same for all problems of a kind")
    status: int = Field(description="HTTP status")
    detail: str = Field(description="what happened, with the value, and what to do")
    errors: list[dict[str, Any]] = Field([], description="each fault of the body: field, message, value")


class PictureReply(BaseModel):
    """Where the picture is."""

    image_path: str = Field(description="absolute path of the PNG")
    metadata_path: str = Field(description="absolute path of its JSON sidecar")
    elapsed_ms: int = Field(description="from the start of the work to the saved picture, in milliseconds")

    @property
    def url(self) -> str:
        """Where the service shows the picture: its day, job and number behind /images."""
        return f"/images/{'/'.join(PurePath(self.image_path).parts[-3:])}"


class ReportReply(BaseModel):
    """What a measurement found."""

    status: str = Field(description="measured, or not measurable")
    passed: bool = Field(description="whether the lower bound reaches the bar, and nothing is copied")
    report_path: str = Field(description="absolute path of report.html, a page that needs nothing else")
    json_path: str = Field(description="absolute path of report.json, all numbers")
    consistency: float | None = Field(None, description="share of the LoRA's pictures accepted, 0 to 1")
    low: float | None = Field(None, description="lower end of its 95 % interval")
    high: float | None = Field(None, description="upper end")
    pictures: int = Field(0, description="pictures that it is made of")
    why: str = Field("", description="why nothing could be measured")


class JobReply(BaseModel):
    """One job, as far as it is."""

    job_id: str
    state: Literal["queued", "running", "paused", "completed", "completed_with_errors", "cancelled", "failed"]
    total: int = Field(1, description="pictures in all")
    done: int = Field(0, description="pictures that are saved")
    failed: int = Field(0, description="pictures that could not be rendered")
    pending: int = Field(0, description="pictures to come")
    step: int = Field(0, description="steps done of the picture at work")
    steps: int = Field(0, description="its steps in all; 0 = not known")
    note: str = Field("", description="what its command says, also at its end; or why it is paused")
    result: PictureReply | None = Field(None, description="where the picture is")
    report: ReportReply | None = Field(None, description="what a measurement found; null: none, or not yet")
    problem: Problem | None = Field(None, description="why there is none")


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
    weight: float = Field(1.0, description="the weight that an evaluation chose for it; 1 where none did")


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


class Inspection(BaseModel):
    """What a picture says about its making."""

    source: str = Field(description="which program's metadata was read; empty: none was found")
    request: dict[str, Any] | None = Field(description="the request that it came from, as far as it is known")
    route: str = Field("", description="the route to post `body` to for another such picture")
    body: dict[str, Any] | None = Field(None, description="the request as that route takes it")
    unmapped: list[str] = Field([], description="what of it has no place in a request")
    parameters: str = Field("", description="A1111's text about it, where it has one")


class Output(BaseModel):
    """One picture of the past."""

    url: str = Field(description="where this service shows it")
    image_path: str
    metadata_path: str
    created_s: float = Field(description="seconds since 1970")


class Outputs(BaseModel):
    """The newest pictures, newest first."""

    images: list[Output]
