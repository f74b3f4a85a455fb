"""The likeness above which a picture counts as the character: one false accept in a hundred impostors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.identity import Scores
from charaforge.evaluation.statistics import CONFIDENCE

FALSE_ACCEPT_RATE = 0.01
"""Share of impostor pictures that may be taken for the character."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A likeness from which on a picture is accepted.

    Attributes:
        value: Accepted is likeness >= value.
        source: Which impostors set it, e.g. "real" or "generated".
        impostors: Number of impostor pictures n.
        accepted: How many of them are accepted, k.
        rate_low: Lower end of the 95 % interval of the rate of false accepts on impostors not seen.
        rate_high: Upper end of that interval.
    """

    value: float
    source: str
    impostors: int
    accepted: int
    rate_low: float
    rate_high: float

    @property
    def rate(self) -> float:
        """Share of these impostors that is accepted, k / n."""
        return self.accepted / self.impostors


def threshold_at(impostors: Scores, source: str, rate: float = FALSE_ACCEPT_RATE) -> Threshold:
    """Set the threshold so that at most ``rate`` of the impostors are accepted.

    The threshold is the k-th highest score, k = floor(rate · n); the rate on unseen impostors is then
    Beta(k, n-k+1), whatever the scores' distribution (order statistics of a sample). Where it is shared with
    the score after it, it lies just above both.

    Args:
        impostors: (n,) likenesses of pictures of other characters.
        source: What kind of impostors they are; kept for the report.
        rate: Share of false accepts, in (0, 1).

    Raises:
        NotMeasurableError: there are fewer than 1/rate impostors.
    """
    count = len(impostors)
    accepted = int(rate * count + 1e-9)
    if accepted < 1:
        needed = int(np.ceil(1 / rate))
        raise NotMeasurableError(
            f"{count} {source} impostor pictures cannot show a false accept rate of {rate:.1%}",
            f"at least {needed} are needed: {needed - count} are missing (3,000 make it precise)",
        )
    ranked = np.sort(impostors)[::-1]
    tied = ranked[accepted] == ranked[accepted - 1]
    value = float(np.nextafter(ranked[accepted - 1], np.inf) if tied else ranked[accepted - 1])
    taken = int(np.count_nonzero(impostors >= value))
    low, high = stats.beta.ppf([0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2], accepted, count - accepted + 1)
    return Threshold(value, source, count, taken, float(low), float(high))


def strictest(thresholds: Sequence[Threshold]) -> Threshold:
    """The highest of several thresholds: a judge must not share the blind spot of the model it judges."""
    return max(thresholds, key=lambda t: t.value)
