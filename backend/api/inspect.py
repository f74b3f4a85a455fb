"""`POST /inspect`: what a picture says about its making."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from PIL import Image

from backend.core.inputs import InputFault, InputFiles
from backend.core.pictures import FORMATS
from backend.core.problems import ProblemError, invalid, responses
from backend.schemas.service import InspectBody
from charaforge.requests.answers import Inspection

router = APIRouter(tags=["files"])


@router.post(
    "/inspect",
    summary="What a picture says about its making",
    responses=responses(400, 401, 403, 413, 415, 422),
)
def inspect(body: InspectBody, request: Request) -> Inspection:
    """Read the metadata of a picture: ours as a request; A1111's `parameters` as text."""
    files: InputFiles = request.app.state.inputs
    try:
        texts = _texts(files.resolve(body.image))
    except InputFault as fault:
        told = {"field": "image", "message": str(fault), "value": body.image[:80]}
        raise ProblemError(invalid([told])) from None
    made = _request(texts.get("charaforge", ""))
    source = "charaforge" if made else "a1111" if "parameters" in texts else ""
    return Inspection(source=source, request=made, parameters=texts.get("parameters", ""))


def _texts(path: Path) -> dict[str, str]:
    """Return the text chunks of a picture whose size was checked."""
    try:
        with Image.open(path, formats=tuple(FORMATS)) as image:
            return {str(key): value for key, value in image.info.items() if isinstance(value, str)}
    except (OSError, ValueError, SyntaxError):
        raise InputFault("the picture is broken") from None


def _request(chunk: str) -> dict[str, Any] | None:
    try:
        told = json.loads(chunk)
    except (ValueError, RecursionError):
        return None
    made = told.get("request") if isinstance(told, dict) else None
    return made if isinstance(made, dict) else None
