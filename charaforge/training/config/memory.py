"""The keys of a training configuration that save memory or time without changing what is learnt."""

from __future__ import annotations

from charaforge.config import StrictModel


class MemorySettings(StrictModel):
    """Memory and speed."""
