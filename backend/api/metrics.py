"""`GET /metrics`, in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from backend.api.job_metrics import JobMetrics
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
    """Answer requests by route and status, jobs and items that wait, times of items, memory of GPUs."""
    meter, queue = request.app.state.meter, request.app.state.queue
    meter.waiting.set(queue.waiting())
    jobs = CollectorRegistry(auto_describe=False)
    jobs.register(JobMetrics(queue))
    return Response(generate_latest(meter.registry) + generate_latest(jobs), media_type=CONTENT_TYPE_LATEST)
