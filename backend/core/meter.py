"""Counts requests and measures how long they take."""

from __future__ import annotations

import logging
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core.json_logs import bound, request_id_of
from charaforge.logs import get_logger

logger = get_logger(__name__)

ID_HEADER = "X-Request-ID"
METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS")
QUIET = ("/health", "/ready", "/metrics")  # asked every few seconds by machines
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Meter:
    """The counters of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "charaforge_http_requests_total",
            "Requests",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "charaforge_http_request_seconds",
            "Time from request to answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waiting = Gauge("charaforge_jobs_waiting", "Jobs that are not done", registry=self.registry)


class Metered:
    """ASGI middleware that keeps a meter; routes are told by their pattern, so that ids do not pile up."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve and measure one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 500
        request_id = request_id_of(Headers(scope=scope).get(ID_HEADER, ""))
        scope["request_id"] = request_id

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[ID_HEADER] = request_id
            await send(message)

        with bound(request_id=request_id):
            try:
                await self._app(scope, receive, sending)
            finally:
                self._count(scope, status, time.monotonic() - start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request and write its line of the log."""
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._meter.requests.labels(method, route, str(status)).inc()
        self._meter.seconds.labels(route).observe(seconds)
        facts = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        level = logging.DEBUG if route.endswith(QUIET) and status < 400 else logging.INFO
        logger.log(level, "%s %s %d", method, route, status, extra={"facts": facts})
