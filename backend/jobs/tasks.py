"""What a worker does. Heavy imports stand inside the tasks: the API imports this module too."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Task, shared_task

from backend.core.problems import problem_of
from charaforge.errors import CharaForgeError
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse

if TYPE_CHECKING:
    from charaforge.generation.generator import Generator

RENDER = "charaforge.render"
FOLLOW_PINS = "charaforge.follow-pins"
PROGRESS = "PROGRESS"  # state of a task that tells how far it is
PROGRESS_EVERY_S = 0.2


class Cancelled(Exception):
    """Somebody has asked to stop this job."""


def cancel_mark(warehouse: Warehouse, job_id: str) -> Path:
    """Return the file whose presence stops a job between two steps."""
    return warehouse.batches / job_id / "CANCEL"


def render(task: Task, request: dict[str, Any]) -> dict[str, Any]:
    """Render and save one picture.

    Args:
        task: the task at work.
        request: a GenerationRequest for one picture, as JSON values.

    Returns:
        `{"image_path", "metadata_path", "elapsed_ms"}`; `{"problem": …}`, a problem document, where the
        library refused; or `{"cancelled": true}`.
    """
    start = time.monotonic()
    from charaforge.generation.outputs import new_folder, save

    warehouse = bootstrap()
    mark = cancel_mark(warehouse, task.request.id)
    try:
        on_step = _watch(task, mark)
        on_step(0, 1)
        generator = _generator(warehouse)
        generator.follow_pins()
        (image,) = generator.generate(GenerationRequest.model_validate(request), on_step)
        elapsed_ms = round((time.monotonic() - start) * 1000)
        saved = save(image, new_folder(warehouse), {"elapsed_ms": elapsed_ms, "job_id": task.request.id})
    except Cancelled:
        return {"cancelled": True}
    except CharaForgeError as error:
        return {"problem": problem_of(error).model_dump()}
    finally:
        shutil.rmtree(mark.parent, ignore_errors=True)
    return {
        "image_path": str(saved.image_path),
        "metadata_path": str(saved.metadata_path),
        "elapsed_ms": elapsed_ms,
    }


def follow_pins() -> dict[str, Any]:
    """Load the LoRAs that are pinned, and free those that no longer are.

    Returns:
        Nothing, or `{"problem": …}` where one cannot be loaded.
    """
    try:
        _generator(bootstrap()).follow_pins()
    except CharaForgeError as error:
        return {"problem": problem_of(error).model_dump()}
    return {}


shared_task(bind=True, name=RENDER)(render)
shared_task(name=FOLLOW_PINS)(follow_pins)


def _watch(task: Task, mark: Path) -> Callable[[int, int], None]:
    """Return what is called after each step: it stops a cancelled job, and tells how far it is."""
    told_s = time.monotonic()

    def on_step(done: int, total: int) -> None:
        nonlocal told_s
        if mark.exists():
            raise Cancelled
        if time.monotonic() - told_s >= PROGRESS_EVERY_S:
            told_s = time.monotonic()
            task.update_state(state=PROGRESS, meta={"step": done, "steps": total})

    return on_step


@lru_cache(maxsize=1)
def _generator(warehouse: Warehouse) -> Generator:
    """Return the generator of this process, which keeps its models between jobs."""
    from charaforge.generation.generator import Generator

    return Generator(warehouse)
