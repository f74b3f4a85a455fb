"""How fast a job goes, told from the moments at which more of its items were settled.

The pictures of a micro-batch become files in one burst, and then nothing happens for seconds or minutes. So
only the time from the start of one burst to the start of another counts, and the items between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

OVER_S = 60.0
"""A pace is that of the last minute, or of LONGEST gaps where bursts are rarer."""
LONGEST = 4
REST_S = 3600.0
"""A pause that long, though the job was said to run, is no part of its pace."""

Moment = tuple[float, int]  # seconds, items settled until then


def pace_of(moments: Sequence[Moment]) -> float:
    """Return items per second; 0 = not known, as long as two bursts have not begun after the first moment.

    Args:
        moments: ascending; the first is when watching began.
    """
    least = longest_gap(moments) / 2
    starts = [(after[0], before[1]) for before, after in pairwise(moments) if after[0] - before[0] >= least]
    if len(starts) < 2:
        return 0.0
    return (starts[-1][1] - starts[0][1]) / (starts[-1][0] - starts[0][0])


def longest_gap(moments: Sequence[Moment]) -> float:
    """Return the most seconds between two moments; 0 where there are fewer."""
    return max((after[0] - before[0] for before, after in pairwise(moments)), default=0.0)


def recent(moments: Sequence[Moment]) -> list[Moment]:
    """Return those that tell the pace of now."""
    over_s = max(OVER_S, LONGEST * longest_gap(moments))
    return [moment for moment in moments if moment[0] >= moments[-1][0] - over_s]


@dataclass
class Pace:
    """Watches one job."""

    _moments: list[Moment] = field(default_factory=list)
    _began: bool = True  # whether the first one is when watching began

    def see(self, now: float, settled: int) -> None:
        """Take notice of how many items are settled.

        Args:
            now: seconds of a clock that only grows.
            settled: items done or failed; fewer than before where they were opened again.
        """
        last_s, before = self._moments[-1] if self._moments else (now, settled + 1)
        rested = settled > before and now - last_s > REST_S
        if settled < before or rested:
            self._moments, self._began = [(now, settled)], True
        elif settled > before:
            self._moments = recent([*self._moments, (now, settled)])
            self._leave_out_the_wait()

    def _leave_out_the_wait(self) -> None:
        """Forget when watching began, once the wait until the first item cannot be one between two bursts."""
        if self._began and len(self._moments) > 2:
            (began_s, _), (first_s, _) = self._moments[:2]
            if self._moments[-1][0] - first_s > 2 * (first_s - began_s):
                self._moments, self._began = self._moments[1:], False

    def forget(self) -> None:
        """Begin anew: the job does not run."""
        self._moments.clear()

    @property
    def known(self) -> bool:
        """Whether it needs nobody else to tell the pace."""
        return pace_of(self._moments) > 0.0

    def rate(self, now: float, told: Sequence[Moment]) -> float:
        """Return items per second; 0 = not known, or it stands still.

        Args:
            now: as above.
            told: moments by another clock, which tell the pace until this one knows it.
        """
        told = recent(told) if told else []
        usual_s = longest_gap(self._moments) if len(self._moments) > 1 else longest_gap(told)
        if self._moments and now - self._moments[-1][0] > max(OVER_S, 2 * usual_s):
            return 0.0
        return pace_of(self._moments) or pace_of(told)
