"""Reads the service's problem documents."""

from __future__ import annotations

from pydantic import ValidationError

from charaforge.errors import ServiceError
from charaforge.requests.answers import Problem


def read_problem(content: bytes, status: int) -> Problem:
    """Return the problem document of an answer; one made up where it holds none."""
    try:
        return Problem.model_validate_json(content)
    except ValidationError:
        told = content[:200].decode("utf-8", "replace") or "without a word"
        return Problem(
            type="about:blank", title="refused", status=status, detail=f"refused: {told}", errors=[]
        )


def tell(problem: Problem) -> ServiceError:
    """Return the error that tells a problem."""
    kind = problem.type.removeprefix("urn:charaforge:")
    return ServiceError(problem.detail, status=problem.status, kind=kind)
