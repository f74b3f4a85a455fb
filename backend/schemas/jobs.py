"""What is told about a job."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from backend.core.problems import Problem
from backend.schemas.pictures import PictureReply


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
    result: PictureReply | None = Field(None, description="where the picture is")
    problem: Problem | None = Field(None, description="why there is none")
