"""The panel below `/ui`, loaded when somebody first asks for it: importing Gradio takes seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.core.problems import plain_problem, problem_answer

PATH = "/ui"


class LazyPanel:
    """ASGI middleware that serves the panel below PATH and passes all else on.

    Args:
        app: what comes behind it.
        mount: puts the panel into a FastAPI app at a path.
    """

    def __init__(self, app: ASGIApp, mount: Callable[[FastAPI, str], FastAPI]) -> None:
        self._app = app
        self._mount = mount
        self._panel: FastAPI | None = None
        self._lock = asyncio.Lock()
        self._open = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            async with self._open:
                await self._app(scope, receive, send)
            return
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not (path == PATH or path.startswith(f"{PATH}/")):
            await self._app(scope, receive, send)
            return
        try:
            panel = await self._loaded()
        except ModuleNotFoundError:
            told = "the panel is not installed; run: pip install -e '.[ui]'"
            await problem_answer(plain_problem(404, told, "no-panel"))(scope, receive, send)
            return
        await panel(scope, receive, send)

    async def _loaded(self) -> FastAPI:
        async with self._lock:
            if self._panel is None:
                panel = await run_in_threadpool(self._mount, FastAPI(openapi_url=None), PATH)
                await self._open.enter_async_context(panel.router.lifespan_context(panel))
                self._panel = panel
        return self._panel
