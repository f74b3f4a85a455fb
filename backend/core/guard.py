"""Who is served: programs on this machine. Everything else needs what the owner has not set up."""

from __future__ import annotations

import ipaddress

from fastapi import Request

from backend.core.problems import ProblemError, plain_problem


def loopback_only(request: Request) -> None:
    """Refuse a request that comes from another machine, wherever the service listens.

    Raises:
        ProblemError: 403.
    """
    client = request.client.host if request.client else ""
    if not _is_loopback(client):
        raise ProblemError(
            plain_problem(
                403,
                f"{client or 'the client'} is not this machine; only clients on it are served. "
                "Reach the service through a tunnel, for example: ssh -L 8000:localhost:8000 HOST",
                "not-local",
            )
        )


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
