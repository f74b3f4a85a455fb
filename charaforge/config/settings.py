"""Settings of the library that come from the environment (`.env.example` lists all of them)."""

from __future__ import annotations

import os

EMBEDDED_BASE = "mini-sd"


def default_model() -> str:
    """Return the base model that is used where a request names none: `DEFAULT_MODEL`, else mini-sd."""
    return os.environ.get("DEFAULT_MODEL", "").strip() or EMBEDDED_BASE
