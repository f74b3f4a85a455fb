"""`POST /txt2img`, `/img2img`, `/inpaint`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from backend.api.rendering import RESPONSES, Render
from backend.schemas.pictures import Img2ImgBody, InpaintBody, Txt2ImgBody
from charaforge.requests.answers import PictureReply

router = APIRouter(tags=["pictures"], responses=RESPONSES)


@router.post("/txt2img", summary="Render a picture from a prompt", response_model=PictureReply)
def txt2img(body: Txt2ImgBody, render: Render) -> PictureReply | Response:
    """Render a picture and answer where it was saved."""
    return render(body, Txt2ImgBody.request)


@router.post("/img2img", summary="Render a picture from a prompt and a picture", response_model=PictureReply)
def img2img(body: Img2ImgBody, render: Render) -> PictureReply | Response:
    """Redraw a picture in part; `denoise` says how much."""
    return render(body, Img2ImgBody.request)


@router.post("/inpaint", summary="Redraw the masked part of a picture", response_model=PictureReply)
def inpaint(body: InpaintBody, render: Render) -> PictureReply | Response:
    """Redraw what is white in the mask."""
    return render(body, InpaintBody.request)
