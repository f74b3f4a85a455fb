"""Probabilities as short texts: of a million pictures they fit into memory, as dictionaries they do not.

One line per tag, "blue hair=0.9812", in falling order.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

DIGITS = 4


def packed(scores: Mapping[str, float]) -> str:
    """Return tag -> probability as a text."""
    ordered = sorted(scores.items(), key=lambda one: (-one[1], one[0]))
    return "\n".join(f"{tag}={round(score, DIGITS):.{DIGITS}g}" for tag, score in ordered)


def unpacked(text: str) -> dict[str, float]:
    """Return what `packed` made a text of; equal tags of different pictures are one object."""
    parts = (line.rpartition("=") for line in text.split("\n") if line)
    return {sys.intern(tag): float(score) for tag, _, score in parts}
