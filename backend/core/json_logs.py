"""Log lines of the service as JSON, one object a line, with the ids of the request and the job behind it.

    {"time": "…", "level": "INFO", "logger": "backend.api", "message": "…", "request_id": "…", "job_id": "…"}

`LOG_FORMAT=text` gives lines for people; so does a terminal, unless `LOG_FORMAT=json` is set.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

from charaforge import logs
from charaforge.errors import UnknownNameError

FORMATS = ("json", "text")
_OWN = ("charaforge", "backend")
_OTHERS = ("uvicorn", "celery", "kombu")
_ACCESS = "uvicorn.access"  # `backend.core.meter` writes these lines, with ids
_TEXT = "%(levelname)s %(name)s: %(message)s"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NONE: Mapping[str, Any] = MappingProxyType({})
_ids: ContextVar[Mapping[str, Any]] = ContextVar("ids", default=_NONE)


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Let all log lines of the block carry these ids; empty ones are left out."""
    given = {name: value for name, value in ids.items() if value not in ("", None)}
    token = _ids.set({**_ids.get(), **given})
    try:
        yield
    finally:
        _ids.reset(token)


def current(name: str) -> str:
    """Return an id that is bound now, or ""."""
    return str(_ids.get().get(name, ""))


def request_id_of(told: str) -> str:
    """Return the id that a client gave a request, or a new one where it gave none that can be used."""
    return told if _REQUEST_ID.fullmatch(told) else secrets.token_hex(8)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids.get(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at the moment, which tests and supervisors change."""

    @property
    def stream(self) -> TextIO:
        """The stream."""
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Keep it as it is."""


def configure(level: int = logging.INFO) -> None:
    """Send the log lines of the service, of uvicorn and of Celery to stderr in the chosen format.

    Args:
        level: the lowest level that is shown.

    Raises:
        UnknownNameError: `LOG_FORMAT` is none of FORMATS.
    """
    logs.configure(level)
    handler = _Stderr()
    handler.setFormatter(JsonLines() if _chosen() == "json" else logging.Formatter(_TEXT))
    for name in (*_OWN, *_OTHERS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level if name in _OWN else max(level, logging.INFO))
        logger.propagate = False
    access = logging.getLogger(_ACCESS)
    access.handlers, access.propagate = [], False


def _chosen() -> str:
    told = os.environ.get("LOG_FORMAT", "").strip().lower()
    if told and told not in FORMATS:
        raise UnknownNameError("LOG_FORMAT", told, FORMATS)
    return told or ("text" if sys.stderr.isatty() else "json")
