"""What a worker does. Heavy imports stand inside the tasks: the API imports this module too."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from celery import shared_task

from backend.core.problems import problem_of
from charaforge.errors import CharaForgeError
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse

if TYPE_CHECKING:
    from charaforge.generation.generator import Generator

RENDER = "charaforge.render"


def render(request: dict[str, Any]) -> dict[str, Any]:
    """Render and save one picture.

    Args:
        request: a GenerationRequest for one picture, as JSON values.

    Returns:
        `{"image_path", "metadata_path", "elapsed_ms"}`; or `{"problem": …}`, a problem document, where the
        library refused.
    """
    start = time.monotonic()
    from charaforge.generation.outputs import new_folder, save

    warehouse = bootstrap()
    try:
        (image,) = _generator(warehouse).generate(GenerationRequest.model_validate(request))
        elapsed_ms = round((time.monotonic() - start) * 1000)
        saved = save(image, new_folder(warehouse), {"elapsed_ms": elapsed_ms})
    except CharaForgeError as error:
        return {"problem": problem_of(error).model_dump()}
    return {
        "image_path": str(saved.image_path),
        "metadata_path": str(saved.metadata_path),
        "elapsed_ms": elapsed_ms,
    }


shared_task(name=RENDER)(render)


@lru_cache(maxsize=1)
def _generator(warehouse: Warehouse) -> Generator:
    """Return the generator of this process, which keeps its models between jobs."""
    from charaforge.generation.generator import Generator

    return Generator(warehouse)
