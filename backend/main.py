"""`uvicorn backend.main:app`: the REST service."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.concurrency import run_in_threadpool

from backend.api import PREFIX, make_router
from backend.core import json_logs, problems
from backend.core.access import Access
from backend.core.guard import Guard
from backend.core.in_flight import InFlight
from backend.core.inputs import InputFiles
from backend.core.lazy_panel import LazyPanel
from backend.core.meter import Meter, Metered
from backend.core.settings import Settings, check_safety
from backend.core.stopping import Stopping
from backend.jobs.broker import choose_broker, make_celery
from backend.jobs.queue import JobQueue
from charaforge import __version__, bootstrap
from charaforge.errors import CharaForgeError
from charaforge.warehouse.registry import Registry


def create_app() -> FastAPI:
    """Return the service; its worker, where it is embedded, starts and stops with it.

    Raises:
        WarehouseError: `AI_CACHE_ROOT` cannot be used.
        UsageError: `API_TOKEN` is too short, or `API_SAFETY` asks for a checker that is not there.
    """
    json_logs.configure()
    warehouse = bootstrap()
    settings = Settings()
    check_safety(Registry(warehouse))
    access = Access(settings.token(), settings.allowed_hosts, tuple(settings.origins))
    queue = JobQueue(make_celery(choose_broker(settings.redis_url)), warehouse)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with app.state.stopping.listening():
            queue.start()
            yield
            await run_in_threadpool(queue.stop)

    app = FastAPI(
        title="CharaForge T2I Lab",
        version=__version__,
        lifespan=lifespan,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
    )
    app.state.warehouse, app.state.queue, app.state.access = warehouse, queue, access
    app.state.inputs, app.state.meter = InputFiles(warehouse, settings.input_roots), Meter()
    app.state.stopping, app.state.in_flight = Stopping(), InFlight()
    problems.install(app)
    app.include_router(make_router(settings.api_sdapi))
    # the last one added stands first
    app.add_middleware(LazyPanel, mount=_mount_panel)
    app.add_middleware(Guard, access=access)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST", "PUT"],
        allow_headers=["*"],
    )
    app.add_middleware(Metered, meter=app.state.meter)
    return app


def _mount_panel(app: FastAPI, path: str) -> FastAPI:
    """Put the panel into an app; Gradio is imported here, not when the service starts."""
    from charaforge.ui.web.serving import mount

    mounted: FastAPI = mount(app, path)
    return mounted


try:
    app = create_app()
except CharaForgeError as error:
    sys.exit(f"error: {error}")
