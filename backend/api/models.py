"""`GET /models`, `GET /schedulers`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from backend.core.problems import responses
from charaforge.requests.answers import Model, Scheduler
from charaforge.requests.samplers import SAMPLERS
from charaforge.warehouse.registry import Kind, Registry

router = APIRouter(tags=["models"])


def registry(request: Request) -> Registry:
    """Return the models of the app's warehouse."""
    return Registry(request.app.state.warehouse)


Models = Annotated[Registry, Depends(registry)]


@router.get("/models", summary="Which models are there", responses=responses(401, 403, 422))
def models(registered: Models, kind: Kind | None = None) -> list[Model]:
    """List all models, or those of a kind, by the names that requests use."""
    return [
        Model(name=entry.name, kind=entry.kind, family=entry.family, embedded=entry.embedded)
        for entry in registered.list(kind)
    ]


@router.get("/schedulers", summary="Which schedulers are there", responses=responses(401, 403))
def schedulers() -> list[Scheduler]:
    """List every sampler with every schedule that it is offered with."""
    return [
        Scheduler(
            name=sampler.name,
            label=sampler.solver.label,
            schedule=sampler.schedule_label,
            diffusers=sampler.solver.diffusers,
        )
        for sampler in SAMPLERS
    ]
