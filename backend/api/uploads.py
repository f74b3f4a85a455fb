"""`POST /uploads`: pictures that later requests name by id."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from fastapi import APIRouter, Request, UploadFile

from backend.core.pictures import FORMATS, PictureFault, check_decodes, picture_size
from backend.core.problems import ProblemError, plain_problem, responses
from charaforge.requests.answers import Upload
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.layout import Warehouse

router = APIRouter(tags=["files"])
CHUNK = 2**20  # bytes


@router.post(
    "/uploads",
    status_code=201,
    summary="Take in a picture",
    responses=responses(400, 401, 403, 413, 415, 422),
)
def upload(request: Request, file: UploadFile) -> Upload:
    """Keep a PNG, JPEG or WebP picture under the sha256 of its bytes; uploads are never shown again."""
    warehouse: Warehouse = request.app.state.warehouse
    sha256 = hashlib.sha256()
    while chunk := file.file.read(CHUNK):
        sha256.update(chunk)
    file.file.seek(0)
    place = warehouse.uploads / sha256.hexdigest()[:2]
    with replacing(place / f"{sha256.hexdigest()}.part") as temporary:
        with temporary.open("wb") as stream:
            shutil.copyfileobj(file.file, stream, CHUNK)
        told = _checked(temporary, sha256.hexdigest())
    (place / f"{told.id}.part").replace(place / f"{told.id}{FORMATS[told.format]}")
    return told


def _checked(path: Path, sha256: str) -> Upload:
    """Return what is told about a picture, once it is known to be one."""
    try:
        kind, width, height = picture_size(path)
        check_decodes(path)
    except PictureFault as fault:
        status = 413 if fault.too_large else 415
        raise ProblemError(plain_problem(status, f"the file {fault}", "picture")) from None
    return Upload(id=sha256, width=width, height=height, format=kind, bytes=path.stat().st_size)
