"""Bars: what a figure must reach for a net of the mini family to be good enough."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit for one figure.

    Attributes:
        limit: The value to reach.
        at_most: Whether the figure has to stay at or below the limit (else at or above).
    """

    limit: float
    at_most: bool = False

    def met(self, figure: float) -> bool:
        """Whether ``figure`` is on the right side of the limit, or on it."""
        return figure <= self.limit if self.at_most else figure >= self.limit

    def __str__(self) -> str:
        """For example "at least 0.95"."""
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


def missed(figures: Mapping[str, float], bars: Mapping[str, Bar]) -> list[str]:
    """One line per bar that is not met or was not measured; empty where all is well."""
    lines = []
    for name, bar in bars.items():
        if name not in figures:
            lines.append(f"{name}: not measured, wanted {bar}")
        elif not bar.met(figures[name]):
            lines.append(f"{name}: {figures[name]:.4f}, wanted {bar}")
    return lines
