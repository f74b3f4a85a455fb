"""The routes, one module per noun; none imports torch."""

from __future__ import annotations

from fastapi import APIRouter

from backend.api import (
    batch,
    batch_control,
    batch_watch,
    commands,
    controlnet,
    health,
    images,
    inspect,
    jobs,
    login,
    lora,
    metrics,
    models,
    retention,
    sdapi,
    txt2img,
    uploads,
    workers,
)

PREFIX = "/api/v1"
_PICTURES = (txt2img, controlnet)
_JOBS = (jobs, batch, batch_watch, batch_control, commands, workers, retention)


def make_router(with_sdapi: bool) -> APIRouter:
    """Return all routes; `health`, `ready` and `metrics` answer at the root too.

    Args:
        with_sdapi: whether A1111's API is offered as well.
    """
    router = APIRouter()
    for part in (health, metrics, login):
        router.include_router(part.router, include_in_schema=part is login)
    for part in (*_PICTURES, *_JOBS, health, metrics, models, lora, uploads, images, inspect):
        router.include_router(part.router, prefix=PREFIX)
    if with_sdapi:
        router.include_router(sdapi.router)
    return router
