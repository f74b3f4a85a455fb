"""What stands before every route: the rules of access, the cap on bodies, the headers of answers.

It is ASGI middleware, because FastAPI reads a body before it asks the dependencies of a route.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.core.access import Access, is_multipart, takes_files
from backend.core.problems import plain_problem, problem_answer
from charaforge.requests.answers import Problem

MAX_BODY = 32 * 2**20  # bytes
MAX_UPLOAD = 256 * 2**20
_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-site",
    "referrer-policy": "same-origin",
}


class Guard:
    """Refuses requests that break a rule; counts the bytes of the others while they stream in.

    Args:
        app: what comes behind it.
        access: the rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no websockets here
        headers = Headers(scope=scope)
        large = is_multipart(headers) and takes_files(scope["method"], scope["path"])
        limit = MAX_UPLOAD if large else MAX_BODY
        client = scope["client"][0] if scope.get("client") else ""
        refused = self._access.refusal(scope["method"], scope["path"], headers, client)
        refused = refused or _announced_too_much(headers, limit)
        if refused is not None:
            await problem_answer(refused)(scope, receive, _with_headers(send))
            return
        await self._app(scope, _Counted(receive, limit), _with_headers(send))


class _Counted:
    """Passes a body on, and breaks off when it grows beyond the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._limit:
            raise HTTPException(413, _too_large(self._limit))
        return message


def _announced_too_much(headers: Headers, limit: int) -> Problem | None:
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) <= limit:
        return None
    return plain_problem(413, _too_large(limit), "too-large")


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit // 2**20} MiB; send less"


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
