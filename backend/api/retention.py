"""`POST /gc`: what of the warehouse can go; it is deleted only when that is asked for."""

from __future__ import annotations

import shutil

from fastapi import APIRouter, Request

from backend.core.problems import responses
from backend.schemas.batch import GcBody
from charaforge.jobstore.retention import KINDS, litter, remove
from charaforge.logs import get_logger
from charaforge.requests.batch_answers import GcKind, GcReply, GcThing
from charaforge.warehouse.layout import Warehouse

logger = get_logger(__name__)
router = APIRouter(tags=["service"])
LARGEST = 10


@router.post("/gc", summary="What of the warehouse can go", responses=responses(400, 401, 403, 413, 415, 422))
def gc(body: GcBody, request: Request) -> GcReply:
    """Answer sizes and the largest things; with `delete` they are gone then. Models and datasets stay."""
    warehouse: Warehouse = request.app.state.warehouse
    found = list(litter(warehouse, frozenset(body.kinds), body.older_than_days))
    kinds = [
        GcKind(
            kind=kind,
            things=sum(one.what == kind for one in found),
            bytes=sum(one.bytes for one in found if one.what == kind),
        )
        for kind in KINDS
        if kind in body.kinds
    ]
    largest = sorted(found, key=lambda one: one.bytes, reverse=True)[:LARGEST]
    if body.delete:
        for one in found:
            remove(one)
        logger.info("gc deleted %d things, %d bytes", len(found), sum(one.bytes for one in found))
    return GcReply(
        deleted=body.delete,
        kinds=kinds,
        largest=[GcThing(path=str(one.path), bytes=one.bytes, age_days=one.age_days) for one in largest],
        free=shutil.disk_usage(warehouse.root).free,
    )
