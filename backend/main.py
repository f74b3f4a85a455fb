"""`uvicorn backend.main:app`: the REST service."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.concurrency import run_in_threadpool

from backend.api import make_router
from backend.core import problems
from backend.core.settings import Settings
from backend.jobs.broker import choose_broker, make_celery
from backend.jobs.queue import JobQueue
from charaforge import __version__, bootstrap, logs
from charaforge.errors import CharaForgeError


def create_app() -> FastAPI:
    """Return the service; its worker, where it is embedded, starts and stops with it.

    Raises:
        WarehouseError: `AI_CACHE_ROOT` cannot be used.
    """
    logs.configure()
    warehouse = bootstrap()
    settings = Settings()
    queue = JobQueue(make_celery(choose_broker(settings.redis_url)), warehouse.batches / "embedded.lock")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        await run_in_threadpool(queue.stop)

    app = FastAPI(title="CharaForge T2I Lab", version=__version__, lifespan=lifespan)
    app.state.queue = queue
    problems.install(app)
    app.add_middleware(
        CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"]
    )
    app.include_router(make_router())
    return app


try:
    app = create_app()
except CharaForgeError as error:
    sys.exit(f"error: {error}")
