"""The routes, one module per noun; none imports torch."""

from __future__ import annotations

from fastapi import APIRouter

from backend.api import (
    controlnet,
    health,
    images,
    inspect,
    jobs,
    login,
    lora,
    metrics,
    models,
    sdapi,
    txt2img,
    uploads,
)

PREFIX = "/api/v1"


def make_router(with_sdapi: bool) -> APIRouter:
    """Return all routes; `health`, `ready` and `metrics` answer at the root too.

    Args:
        with_sdapi: whether A1111's API is offered as well.
    """
    router = APIRouter()
    for part in (health, metrics, login):
        router.include_router(part.router, include_in_schema=part is login)
    for part in (health, metrics, txt2img, controlnet, models, lora, uploads, images, inspect, jobs):
        router.include_router(part.router, prefix=PREFIX)
    if with_sdapi:
        router.include_router(sdapi.router)
    return router
