"""Taking in pictures: each is kept under the sha256 of its bytes, once it is known to be a picture."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import shutil
from pathlib import Path
from typing import BinaryIO

from backend.core.pictures import FORMATS, PictureFault, check_decodes, picture_size
from backend.core.problems import ProblemError, plain_problem
from charaforge.requests.answers import Upload
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.layout import Warehouse

CHUNK = 2**20  # bytes


def take_in(warehouse: Warehouse, stream: BinaryIO) -> tuple[Upload, Path]:
    """Keep a picture; return what is told about it, and where it lies.

    Raises:
        ProblemError: 413, it has too many pixels; 415, it is no picture of a format that is taken.
    """
    sha256 = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        sha256.update(chunk)
    stream.seek(0)
    name = sha256.hexdigest()
    told = _checked(stream, name)
    stream.seek(0)
    path = warehouse.uploads / name[:2] / f"{name}{FORMATS[told.format]}"
    with replacing(path) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(stream, file, CHUNK)
    return told, path


def take_in_base64(warehouse: Warehouse, text: str) -> Path:
    """Keep a picture that came as base64, with or without `data:image/…;base64,`; return where it lies.

    Raises:
        ProblemError: 422, it is no base64; else as `take_in`.
    """
    if text.startswith(("http://", "https://")):
        raise ProblemError(plain_problem(422, "pictures are not fetched by URL; send base64", "picture"))
    try:
        data = base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise ProblemError(plain_problem(422, "the picture is no base64", "picture")) from None
    return take_in(warehouse, io.BytesIO(data))[1]


def _checked(stream: BinaryIO, sha256: str) -> Upload:
    size = stream.seek(0, io.SEEK_END)
    try:
        stream.seek(0)
        kind, width, height = picture_size(stream)
        stream.seek(0)
        check_decodes(stream)
    except PictureFault as fault:
        status = 413 if fault.too_large else 415
        raise ProblemError(plain_problem(status, f"the file {fault}", "picture")) from None
    return Upload(id=sha256, width=width, height=height, format=kind, bytes=size)
