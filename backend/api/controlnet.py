"""`POST /controlnet/pose`, `/depth`, `/canny`, `/lineart`."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response

from backend.api.rendering import RESPONSES, Render
from backend.schemas.pictures import MapBody, PoseBody
from charaforge.requests.answers import PictureReply

router = APIRouter(prefix="/controlnet", tags=["pictures"], responses=RESPONSES)


@router.post("/pose", summary="Render a picture in a given pose", response_model=PictureReply)
def pose(body: PoseBody, render: Render) -> PictureReply | Response:
    """Follow a skeleton map, the pose of a picture, or key points."""
    return render(body, lambda whole: whole.controlled("pose"))


@router.post("/{kind}", summary="Render a picture along a map", response_model=PictureReply)
def control(
    kind: Literal["depth", "canny", "lineart"], body: MapBody, render: Render
) -> PictureReply | Response:
    """Follow a depth map, edges or line art, or a picture they are made from."""
    return render(body, lambda whole: whole.controlled(kind))
