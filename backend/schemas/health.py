"""Whether the service answers."""

from __future__ import annotations

from pydantic import BaseModel


class Health(BaseModel):
    """The service is up."""

    ok: bool = True
