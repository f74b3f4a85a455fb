"""`GET /health`."""

from __future__ import annotations

from fastapi import APIRouter

from backend.schemas.health import Health

router = APIRouter(tags=["service"])


@router.get("/health", summary="Whether the service answers")
def health() -> Health:
    """Answer `{"ok": true}`."""
    return Health()
