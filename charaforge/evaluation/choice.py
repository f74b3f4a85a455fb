"""Which of several checkpoints, or weights of one, is taken; the rules alone, without pictures.

Checkpoints are screened with few pictures, the best few are measured with more, and of those that pass every
gate the earliest is taken whose point estimate is within ``WITHIN`` of the best: it has learnt as much and
forgotten least. The number that led to a choice is too high on average, since chance helped it to be chosen;
what is published is measured again on prompts and seeds that had no part in it.

Shape legend: N studies that are judged alike (1 in earnest, thousands in simulations), K candidates in order
of their steps.
"""

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.statistics import Floats

WITHIN = 0.01
"""How far below the best estimate an earlier checkpoint may lie and still be taken."""

WEIGHT_MARGIN = 0.02
"""How much better another weight than 1 has to be: users forget to set one.

(Simulated, 40 × 4, true gains of 0 ± .04: asked for more than chance explains, 4 % of runs take another
weight; by this margin 26 % do, and 3.5 % lose by it.)
"""

FINALISTS = 3
"""Checkpoints that are measured closely after the screening."""

Flags = npt.NDArray[np.bool_]


def best_few(estimates: Floats, eligible: Flags, count: int = FINALISTS) -> Flags:
    """Mark the finalists of each study.

    Args:
        estimates: (N, K) shares from the screening.
        eligible: (N, K) whether a candidate passes the gates; where none does, all are eligible.
        count: How many finalists; of equal ones the earlier.

    Returns:
        (N, K).
    """
    ranked = np.argsort(-_masked(estimates, eligible), axis=1, kind="stable")
    marks = np.zeros(estimates.shape, bool)
    np.put_along_axis(marks, ranked[:, :count], True, axis=1)
    return marks & (eligible | ~eligible.any(axis=1, keepdims=True))


def in_turn(estimates: Floats, eligible: Flags) -> list[int]:
    """Candidates (K,) of one study as they are looked at: those that pass the gates first, the best first.

    Args:
        estimates: (K,) shares from the screening; of equal ones the earlier comes first.
        eligible: (K,) whether a candidate passes the gates.
    """
    return [int(place) for place in np.lexsort((-estimates, ~eligible))]


def earliest_within(estimates: Floats, eligible: Flags, within: float = WITHIN) -> npt.NDArray[np.intp]:
    """Index (N,) of the earliest eligible candidate within ``within`` of the best eligible one.

    Args:
        estimates: (N, K) shares.
        eligible: (N, K); where no candidate of a study is eligible, all of them are.
        within: Distance from the best, in shares.
    """
    told = _masked(estimates, eligible)
    return np.asarray((told >= told.max(axis=1, keepdims=True) - within - 1e-9).argmax(axis=1), np.intp)


def better_weight(as_trained: Flags, others: dict[float, Flags], eligible: dict[float, bool]) -> float:
    """The weight of a LoRA to recommend: 1, unless another is better by more than ``WEIGHT_MARGIN``.

    Args:
        as_trained: (P, S) accepts at weight 1.
        others: weight -> (P, S) accepts on the same prompts and seeds.
        eligible: weight -> whether its pictures pass the gates.

    Returns:
        The weight with the largest gain over 1 among those that exceed the margin; else 1.
    """
    gains = {
        weight: float(accepts.mean() - as_trained.mean())
        for weight, accepts in others.items()
        if eligible[weight]
    }
    better = {weight: gain for weight, gain in gains.items() if gain > WEIGHT_MARGIN}
    return max(better, key=lambda weight: (better[weight], -abs(weight - 1))) if better else 1.0


def _masked(estimates: Floats, eligible: Flags) -> Floats:
    usable = eligible | ~eligible.any(axis=1, keepdims=True)
    return np.where(usable, estimates, -np.inf)
