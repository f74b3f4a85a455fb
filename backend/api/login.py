"""`GET /login`, `POST /login`: a browser gives the token once and keeps a cookie that scripts cannot read."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from backend.core.access import COOKIE, Access
from backend.core.problems import ProblemError, plain_problem, responses
from backend.schemas.service import LoginBody

router = APIRouter(tags=["service"])
MAX_AGE_S = 30 * 24 * 3600
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:"
)


@router.get("/login", summary="The page to log in", response_class=HTMLResponse, responses=responses(403))
def page() -> HTMLResponse:
    """Answer a form that asks for the token."""
    text = resources.files("backend.api").joinpath("login.html").read_text(encoding="utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY, "X-Frame-Options": "DENY"})


@router.post(
    "/login",
    status_code=204,
    summary="Log in",
    response_class=Response,
    responses=responses(400, 401, 403, 409, 413, 415, 422),
)
def login(body: LoginBody, request: Request) -> Response:
    """Set the cookie where the token is right."""
    access: Access = request.app.state.access
    if not access.token:
        told = "this service has no token: it serves the clients on its own machine, without login"
        raise ProblemError(plain_problem(409, told, "no-token"))
    if not access.knows(body.token):
        raise ProblemError(plain_problem(401, "this is not the token of the service", "token-wrong"))
    answer = Response(status_code=204)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, access.cookie(), max_age=MAX_AGE_S, httponly=True, samesite="strict", secure=secure
    )
    return answer
