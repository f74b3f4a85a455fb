"""The routes, one module per noun; none imports torch."""

from __future__ import annotations

from fastapi import APIRouter

from backend.api import controlnet, health, images, jobs, login, metrics, models, txt2img, uploads

PREFIX = "/api/v1"


def make_router() -> APIRouter:
    """Return all routes; `health`, `ready` and `metrics` answer at the root too."""
    router = APIRouter()
    for part in (health.router, metrics.router, login.router):
        router.include_router(part, include_in_schema=part is login.router)
    for part in (health.router, metrics.router, txt2img.router, controlnet.router, models.router):
        router.include_router(part, prefix=PREFIX)
    for part in (uploads.router, images.router, jobs.router):
        router.include_router(part, prefix=PREFIX)
    return router
