"""`POST /inspect`: what a picture says about its making."""

from __future__ import annotations

from fastapi import APIRouter, Request

from backend.core.inputs import InputFault, InputFiles
from backend.core.problems import ProblemError, invalid, responses
from backend.schemas.pictures import posted
from backend.schemas.service import InspectBody
from charaforge.errors import UsageError
from charaforge.requests.answers import Inspection
from charaforge.requests.inspection import inspect_picture

router = APIRouter(tags=["files"])


@router.post(
    "/inspect",
    summary="What a picture says about its making",
    responses=responses(400, 401, 403, 413, 415, 422),
)
def inspect(body: InspectBody, request: Request) -> Inspection:
    """Read the metadata of a picture as a request: ours, A1111's, ComfyUI's, InvokeAI's or SwarmUI's."""
    files: InputFiles = request.app.state.inputs
    try:
        path = files.resolve(body.image)
        found = inspect_picture(path)
    except (InputFault, UsageError) as fault:
        why = str(fault) if isinstance(fault, InputFault) else "the picture is broken"
        told = {"field": "image", "message": why, "value": body.image[:80]}
        raise ProblemError(invalid([told])) from None
    route, again = posted(found.request) if found.request is not None else ("", None)
    missing = files.resolve_all(again)[1] if again is not None else []
    return Inspection(
        source=found.source,
        request=found.request.plain() if found.request is not None else None,
        route=route,
        body=again,
        unmapped=[*found.unmapped, *(f"{fault['field']}: {fault['message']}" for fault in missing)],
        parameters=found.parameters,
    )
