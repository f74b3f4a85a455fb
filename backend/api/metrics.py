"""`GET /metrics`, in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from backend.core.problems import responses

router = APIRouter(tags=["service"])


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **responses(401, 403),
    },
)
def metrics(request: Request) -> Response:
    """Answer requests by route and status, their durations, and the jobs that wait."""
    meter = request.app.state.meter
    meter.waiting.set(request.app.state.queue.waiting())
    return Response(generate_latest(meter.registry), media_type=CONTENT_TYPE_LATEST)
