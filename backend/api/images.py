"""`GET /images`, `GET /images/…`: the pictures that were rendered, and their sidecars."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse

from backend.core.problems import ProblemError, plain_problem, responses
from charaforge.requests.answers import Output, Outputs
from charaforge.warehouse.layout import Warehouse

router = APIRouter(prefix="/images", tags=["files"])
TYPES = {".png": "image/png", ".json": "application/json"}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the file",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES.values()},
    },
    206: {"description": "a part of the file"},
    304: {"description": "the file has not changed"},
    416: {"description": "there is no such part", "content": {"text/plain": {"schema": {"type": "string"}}}},
}


@router.get("", summary="The newest pictures", responses=responses(401, 403, 422))
def newest(request: Request, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Outputs:
    """List what was rendered last."""
    outputs = request.app.state.warehouse.outputs.resolve()
    found: list[Output] = []
    for path in _newest_first(outputs):
        about = path.stat()
        url = f"/api/v1/images/{path.relative_to(outputs).as_posix()}"
        sidecar = str(path.with_suffix(".json"))
        found.append(Output(url=url, image_path=str(path), metadata_path=sidecar, created_s=about.st_mtime))
        if len(found) == limit:
            break
    return Outputs(images=found)


@router.get(
    "/{path:path}",
    summary="A picture, or its sidecar",
    response_class=FileResponse,
    responses={**_FILES, **responses(400, 401, 403, 404, 422)},
)
def image(path: str, request: Request) -> FileResponse:
    """Send a file of the outputs: `<UTC date>/<job>/0001.png` or `.json`."""
    warehouse: Warehouse = request.app.state.warehouse
    root = warehouse.outputs.resolve()
    try:
        file = (root / path).resolve()
        there = file.is_relative_to(root) and file.suffix in TYPES and file.is_file()
    except (OSError, ValueError, RuntimeError):
        there = False
    if not there:
        raise ProblemError(plain_problem(404, f"there is no picture {path[:200]!r}", "unknown-image"))
    return FileResponse(file, media_type=TYPES[file.suffix])


def _newest_first(outputs: Path) -> Iterator[Path]:
    """Yield the pictures, day by day backwards; a picture without its sidecar is not whole yet."""
    for day in sorted(outputs.glob("[0-9]*-[0-9]*-[0-9]*"), reverse=True):
        jobs = sorted(day.iterdir(), key=lambda job: job.stat().st_mtime, reverse=True)
        for job in jobs:
            yield from (
                path
                for path in sorted(job.glob("[!.]*.png"), reverse=True)
                if path.with_suffix(".json").is_file()
            )
