"""`POST /uploads`: pictures that later requests name by id."""

from __future__ import annotations

from fastapi import APIRouter, Request, UploadFile

from backend.core.problems import responses
from backend.core.uploads import take_in
from charaforge.requests.answers import Upload

router = APIRouter(tags=["files"])


@router.post(
    "/uploads",
    status_code=201,
    summary="Take in a picture",
    responses=responses(400, 401, 403, 413, 415, 422),
)
def upload(request: Request, file: UploadFile) -> Upload:
    """Keep a PNG, JPEG or WebP picture under the sha256 of its bytes; uploads are never shown again."""
    return take_in(request.app.state.warehouse, file.file)[0]
