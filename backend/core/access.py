"""Who is served: the rules about host, client, token and origin, each a function of its own."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from backend.core.problems import plain_problem
from charaforge.requests.answers import Problem

COOKIE = "charaforge"
OPEN_PATHS = frozenset({"/health", "/api/v1/health"})  # for everybody
LOGIN_PATH = "/login"  # for everybody, where a token is set: it is how a browser gives it
UPLOAD_PATH = "/api/v1/uploads"
BATCH_PATHS = re.compile(r"/api/v1/batch/[^/]+")
"""Batch files come as multipart, `/batch/submit` or `PUT /batch/{id}`; JSON is a batch, too."""
MULTIPART, JSON = "multipart/form-data", "application/json"
PANEL_UPLOAD = "/ui/gradio_api/upload"


@dataclass(frozen=True)
class Access:
    """What the owner allows.

    Args:
        token: who gives it is served; "" = only clients on this machine are.
        hosts: names that the service may be called by, beside localhost and IP addresses.
        origins: web pages that may call it, beside its own.
    """

    token: str = field(repr=False)
    hosts: frozenset[str]
    origins: tuple[str, ...]

    def refusal(self, method: str, path: str, headers: Headers, client: str) -> Problem | None:
        """Return why a request is refused, or nothing."""
        return (
            self._host(headers)
            or self._origin(headers)
            or self._client(path, headers, client)
            or _content_type(method, path, headers)
        )

    def cookie(self) -> str:
        """Return what a browser keeps after login: it proves the token and does not tell it."""
        return hmac.new(self.token.encode(), b"charaforge login", hashlib.sha256).hexdigest()

    def knows(self, token: str) -> bool:
        """Return whether `token` is the right one, in constant time."""
        return bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())

    def _host(self, headers: Headers) -> Problem | None:
        """Refuse names that are not ours: a page whose name was pointed to this machine (DNS rebinding)."""
        name = _host_name(headers.get("host", ""))
        if name == "localhost" or name in self.hosts or _address(name) is not None:
            return None
        told = f"the host {name[:80]!r} is not known here; add it to API_ALLOWED_HOSTS"
        return plain_problem(403, told, "foreign-host")

    def _origin(self, headers: Headers) -> Problem | None:
        """Refuse calls that pages of other sites make in a browser; programs send no Origin."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return None
        if origin != "null" and _place(origin) == headers.get("host"):
            return None
        told = f"pages of {origin[:80]!r} may not call this service; add the origin to API_CORS_ORIGINS"
        return plain_problem(403, told, "foreign-origin")

    def _client(self, path: str, headers: Headers, client: str) -> Problem | None:
        if path in OPEN_PATHS or (self.token and path == LOGIN_PATH):
            return None
        if not self.token:
            return None if is_loopback(client) else _stranger(client)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.knows(given.strip()):
            return None
        if hmac.compare_digest(_cookie(headers).encode(), self.cookie().encode()):
            return None
        told = "a token is needed: send `Authorization: Bearer API_TOKEN`, or open /login in the browser"
        return plain_problem(401, told, "token-needed")


def _place(origin: str) -> str | None:
    """Return host and port of an origin, None where it is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Return whether an address is one of this machine's own."""
    address = _address(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return address is not None and bool((mapped or address).is_loopback)


def _stranger(client: str) -> Problem:
    told = (
        f"{client or 'the client'} is not this machine, and without a token only clients on it are served. "
        "Set API_TOKEN (32 characters or more) and send it, "
        "or use a tunnel, for example: ssh -L 8000:localhost:8000 HOST"
    )
    return plain_problem(403, told, "not-local")


def _content_type(method: str, path: str, headers: Headers) -> Problem | None:
    """Refuse bodies that an HTML form of a foreign page could send."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return None
    empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    kind = _kind(headers)
    if kind in _kinds(method, path) or (empty and not kind):
        return None
    wanted = " or ".join(_kinds(method, path))
    return plain_problem(415, f"the body is {kind[:80] or 'of no type'!r}; send {wanted}", "content-type")


def is_multipart(headers: Headers) -> bool:
    """Return whether a body is a form with files."""
    return _kind(headers) == MULTIPART


def takes_files(method: str, path: str) -> bool:
    """Return whether a route takes multipart bodies, which may be large."""
    return path == UPLOAD_PATH or _takes_batches(method, path)


def _kind(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _takes_batches(method: str, path: str) -> bool:
    if BATCH_PATHS.fullmatch(path) is None:
        return False
    return method == "PUT" or (method == "POST" and path.endswith("/submit"))


def _kinds(method: str, path: str) -> tuple[str, ...]:
    """Return the types of bodies that a route takes."""
    if _takes_batches(method, path):
        return MULTIPART, JSON
    return (MULTIPART,) if path in (UPLOAD_PATH, PANEL_UPLOAD) else (JSON,)


def _host_name(host: str) -> str:
    """Return the name of a Host header, without its port; an IPv6 address without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
