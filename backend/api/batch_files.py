"""The body of a submission: a form with a CSV or JSON file, or JSON itself."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from backend.core.access import is_multipart
from backend.core.problems import ProblemError, invalid
from charaforge.requests.batch_document import BatchDocument

CHUNK = 2**20  # bytes
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV with MISSION's columns or any field of a request; or JSON",
                        },
                        "partial": {"type": "boolean", "description": "as the query parameter"},
                        "score": {"type": "boolean", "description": "as the query parameter"},
                    },
                }
            },
            "application/json": {
                "schema": BatchDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            },
        },
    }
}
_TRUE = frozenset({"1", "true", "on", "yes"})


@dataclass(frozen=True)
class BatchFile:
    """What was sent.

    Attributes:
        stream: the file.
        name: what it is called.
        partial: whether its form says so.
        score: the same.
    """

    stream: BinaryIO
    name: str
    partial: bool = False
    score: bool = False

    def fingerprint(self, *more: object) -> str:
        """Return what tells equal submissions from others: a sha256 over all that was said."""
        digest = hashlib.sha256(repr((self.partial, self.score, *more)).encode())
        self.stream.seek(0)
        while chunk := self.stream.read(CHUNK):
            digest.update(chunk)
        return digest.hexdigest()


async def batch_file(request: Request) -> AsyncIterator[BatchFile]:
    """Yield the batch file of a request, on the disk where it is large."""
    if not is_multipart(request.headers):
        yield BatchFile(io.BytesIO(await request.body()), "body.json")
        return
    async with request.form(max_files=1, max_fields=8) as form:
        yield _of_form(form)


def _of_form(form: FormData) -> BatchFile:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        told = {"field": "file", "message": "the form has no file; send it as: -F file=@jobs.csv"}
        raise ProblemError(invalid([told]))
    said = {name: str(form.get(name, "")).strip().lower() in _TRUE for name in ("partial", "score")}
    return BatchFile(file.file, file.filename or "", **said)


Sent = Annotated[BatchFile, Depends(batch_file)]
