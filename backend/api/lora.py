"""`GET /lora/list`, `POST /lora/load`, `POST /lora/unload`."""

from __future__ import annotations

from fastapi import APIRouter, Request

from backend.api.jobs import Queue
from backend.api.models import Models
from backend.core.problems import ProblemError, plain_problem, problem_of, responses
from backend.schemas.service import LoraBody
from charaforge.config.settings import default_model
from charaforge.errors import UnknownNameError
from charaforge.requests.answers import Lora, LoraReply
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.pins import pin, pinned, unpin
from charaforge.warehouse.recommended import chosen_weight
from charaforge.warehouse.registry import ModelEntry, Registry

router = APIRouter(prefix="/lora", tags=["models"])
_LOAD = responses(400, 401, 403, 404, 409, 413, 415, 422, 503, 504)


@router.get("/list", summary="Which LoRAs are there", responses=responses(401, 403))
def lora_list(request: Request, registered: Models) -> list[Lora]:
    """List the LoRAs of the warehouse by the names that requests use."""
    loaded = {known.lora for known in pinned(request.app.state.warehouse)}
    return [
        Lora(
            name=entry.name,
            kind=entry.kind,
            family=entry.family,
            embedded=entry.embedded,
            file=entry.path.name,
            loaded=entry.name in loaded,
            weight=chosen_weight(entry.card),
        )
        for entry in registered.list("lora")
    ]


@router.post("/load", summary="Keep a LoRA loaded", responses=_LOAD)
def load(body: LoraBody, request: Request, registered: Models, queue: Queue) -> LoraReply:
    """Pin a LoRA: every worker loads it and keeps it warm; no request is changed by that."""
    warehouse: Warehouse = request.app.state.warehouse
    lora = _found(registered, body.lora_id, "lora")
    base = _found(registered, body.model or default_model(), "base")
    if lora.family and base.family and lora.family != base.family:
        told = f"{lora.name} was made for {lora.family}, {base.name} is {base.family}; name a fitting model"
        raise ProblemError(plain_problem(409, told, "other-base"))
    pin(warehouse, lora.name, base.name)
    try:
        queue.follow_pins(lora.name)
    except ProblemError:
        unpin(warehouse, lora.name)
        raise
    return LoraReply(lora_id=lora.name, loaded=True)


@router.post("/unload", summary="Free a LoRA", responses=_LOAD)
def unload(body: LoraBody, request: Request, registered: Models, queue: Queue) -> LoraReply:
    """Undo `load`; what is not pinned stays so."""
    lora = _found(registered, body.lora_id, "lora")
    if unpin(request.app.state.warehouse, lora.name):
        queue.follow_pins()
    return LoraReply(lora_id=lora.name, loaded=False)


def _found(registered: Registry, name: str, kind: str) -> ModelEntry:
    try:
        return registered.get(name, kind)
    except UnknownNameError as error:
        missing = problem_of(error).model_copy(update={"status": 404, "title": "Not Found"})
        raise ProblemError(missing) from None
