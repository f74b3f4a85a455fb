"""The routes, one module per noun; none imports torch."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from backend.api import health, txt2img
from backend.core.guard import loopback_only

PREFIX = "/api/v1"


def make_router() -> APIRouter:
    """Return all routes; `health` answers at the root too, and to everybody."""
    router = APIRouter()
    router.include_router(health.router)
    router.include_router(health.router, prefix=PREFIX)
    router.include_router(txt2img.router, prefix=PREFIX, dependencies=[Depends(loopback_only)])
    return router
