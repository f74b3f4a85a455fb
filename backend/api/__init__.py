"""The routes, one module per noun; none imports torch."""

from __future__ import annotations

from fastapi import APIRouter

from backend.api import controlnet, health, images, jobs, login, lora, metrics, models, txt2img, uploads

PREFIX = "/api/v1"


def make_router() -> APIRouter:
    """Return all routes; `health`, `ready` and `metrics` answer at the root too."""
    router = APIRouter()
    for part in (health, metrics, login):
        router.include_router(part.router, include_in_schema=part is login)
    for part in (health, metrics, txt2img, controlnet, models, lora, uploads, images, jobs):
        router.include_router(part.router, prefix=PREFIX)
    return router
