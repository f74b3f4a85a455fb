"""The likeness above which a picture counts as the character: one false accept in a hundred impostors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.identity import Scores
from charaforge.evaluation.statistics import CONFIDENCE

FALSE_ACCEPT_RATE = 0.01
"""Share of impostor pictures that may be taken for the character."""

HARD_SHARE = 1 / 3
"""Weight of hard negatives among the impostors, where they are fewer."""

FEWEST_HARD = 10
"""Hard negatives below which they say too little to set a threshold."""


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


def threshold_with_hard(
    impostors: Scores, hard: npt.NDArray[np.bool_], rate: float = FALSE_ACCEPT_RATE
) -> Threshold | None:
    """The threshold where the hard negatives carry a third of the weight, however few of all they are.

    Args:
        impostors: (n,) likenesses of all real impostors.
        hard: (n,) which of them resemble the character.
        rate: Weighted share of false accepts, in (0, 1).

    Returns:
        None where there are no hard negatives, or where they are a third of all anyhow. ``impostors`` counts
        all, ``accepted`` and the interval are those of the hard ones alone.
    """
    count = int(hard.sum())
    if count < FEWEST_HARD or count >= HARD_SHARE * len(impostors) or hard.all():
        return None
    weights = np.where(hard, HARD_SHARE / count, (1 - HARD_SHARE) / (len(impostors) - count))
    order = np.argsort(-impostors, kind="stable")
    carried = np.cumsum(weights[order])
    refused = impostors[order][carried > rate + 1e-12]
    value = float(np.nextafter(refused[0], np.inf))
    taken = int(np.count_nonzero(impostors[hard] >= value))
    tails = [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]
    low, high = stats.beta.ppf(
        tails, [max(taken, 1e-9), taken + 1], [count - taken + 1, max(count - taken, 1e-9)]
    )
    return Threshold(value, "hard", count, taken, float(low) if taken else 0.0, float(high))


def strictest(thresholds: Sequence[Threshold]) -> Threshold:
    """The highest of several thresholds: a judge must not share the blind spot of the model it judges."""
    return max(thresholds, key=lambda t: t.value)
