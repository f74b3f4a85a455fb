"""Errors as `application/problem+json` (RFC 9457): what happened, with which value, what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from charaforge.errors import (
    BlockedError,
    CharaForgeError,
    ModelFileError,
    UsageError,
    WarehouseError,
    suggestion,
)
from charaforge.logs import get_logger
from charaforge.requests.answers import Problem

logger = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[CharaForgeError], int], ...] = (
    (UsageError, 422),
    (BlockedError, 422),
    (ModelFileError, 409),
    (WarehouseError, 503),
)
_TOLD = {
    400: "the request cannot be read",
    401: "a token is needed",
    403: "the client, its host name or its origin is not served",
    404: "there is no such thing",
    405: "the route takes another method",
    409: "a model file is broken, or made for another base; or the Idempotency-Key is taken",
    413: "the body, or its picture, is too large",
    415: "the body is of another type than the route takes",
    422: "the body has faults, or names what is not there",
    500: "a picture could not be rendered",
    503: "no worker, a full queue, or no usable warehouse",
    504: "the job takes too long",
}


class ProblemError(Exception):
    """Raised by routes; becomes a problem document.

    Args:
        problem: the document.
        headers: what else the answer says, e.g. Retry-After.
    """

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers


def problem_of(error: CharaForgeError) -> Problem:
    """Return the problem document of an error of the library."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    detail = ". ".join(part for part in (error.message, error.hint) if part)
    return Problem(
        type=f"urn:charaforge:{error.slug}", title=HTTPStatus(status).phrase, status=status, detail=detail
    )


def problem_of_slug(slug: str, detail: str) -> Problem:
    """Return the problem document of an error of the library that was written down: its slug and words."""
    kinds = [CharaForgeError]
    while kinds:
        kind = kinds.pop()
        if kind.slug == slug:
            status = next((status for base, status in _STATUS if issubclass(kind, base)), 500)
            return plain_problem(status, detail, slug)
        kinds += kind.__subclasses__()
    return plain_problem(500, detail, slug)


def plain_problem(status: int, detail: str, slug: str = "") -> Problem:
    """Return a problem document that is no error of the library."""
    kind = f"urn:charaforge:{slug}" if slug else "about:blank"
    return Problem(type=kind, title=HTTPStatus(status).phrase, status=status, detail=detail)


def problem_answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer that carries a problem document."""
    body = problem.model_dump(exclude_defaults=True, exclude={"type"}) | {"type": problem.type}
    more = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}
    return JSONResponse(body, problem.status, headers={**more, **(headers or {})}, media_type=MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says about the problems that a route answers with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"model": Problem, "description": _TOLD[status], "content": content} for status in statuses
    }


def invalid(faults: Sequence[dict[str, Any]], slug: str = "invalid-request") -> Problem:
    """Return the problem document of a body with faults, each `{field, message, value?}`."""
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return plain_problem(422, detail, slug).model_copy(update={"errors": list(faults)})


def install(app: FastAPI) -> None:
    """Let every error of the app leave as a problem document."""

    @app.exception_handler(ProblemError)
    def _problem(request: Request, error: ProblemError) -> JSONResponse:
        return problem_answer(error.problem, error.headers)

    @app.exception_handler(CharaForgeError)
    def _library(request: Request, error: CharaForgeError) -> JSONResponse:
        return problem_answer(problem_of(error))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        return problem_answer(plain_problem(error.status_code, str(error.detail)), error.headers)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_answer(invalid([fault_of(fault, _body_keys(request)) for fault in error.errors()]))

    @app.exception_handler(Exception)
    def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem_answer(plain_problem(500, "the service failed; its log says why", "fault"))


def fault_of(fault: Mapping[str, Any], keys: Sequence[str] = ()) -> dict[str, Any]:
    """Return one fault of a request: the field, what is wrong, and the value where it is short."""
    parts = list(fault["loc"])
    where = ".".join(printable(part) for part in parts[parts[:1] == ["body"] :]) or "body"
    message = printable(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        hint = suggestion(where, keys)
        message = f"unknown key; {hint}" if hint else "unknown key"
    told: dict[str, Any] = {"field": where, "message": message}
    value = fault.get("input")
    if isinstance(value, str | int | float | bool) and len(str(value)) <= 80:
        finite = isinstance(value, int | float) and math.isfinite(value)
        told["value"] = value if finite else printable(value)
    return told


def printable(value: object) -> str:
    """Return a value as text that can be sent: surrogates without a partner become question marks."""
    return str(value).encode("utf-8", "replace").decode()


def _body_keys(request: Request) -> list[str]:
    """Return the keys that the body of the route that was asked may have."""
    field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
