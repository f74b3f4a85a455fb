"""Intervals for shares of accepted pictures, where the pictures of one prompt resemble each other.

Shape legend: P prompts (the clusters), S seeds per prompt. Accepts are boolean (P, S); failures
count as False and are never dropped. All intervals are two-sided; "lower bound" means the lower end.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import hypot, inf, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
"""Two-sided confidence of every interval in a report."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: Point estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share(Interval):
    """A share of accepted pictures.

    Attributes:
        prompts: Number of prompts P.
        pictures: Number of pictures P·S.
        effective: How many pictures of as many prompts carry the same information, in [P, P·S].
        design_effect: ``pictures / effective``; 1 when pictures of a prompt are independent.
    """

    prompts: int
    pictures: int
    effective: float
    design_effect: float


def share(
    accepted: npt.NDArray[np.bool_], confidence: float = CONFIDENCE, reference_variance: float = 0.0
) -> Share:
    """Share of accepted pictures with a Wilson interval at the effective sample size.

    The variance of the share is taken between prompts, var = s²(prompt means) / P; a binomial share with
    this variance has n_eff = p(1-p)/var pictures (Korn & Graubard 1998), kept between P and P·S. Wilson's
    interval is computed at n_eff with the quantile of Student's t on P-1 degrees of freedom. The choice of
    references is another source of chance: each end moves away to the root of the sum of squares of its
    distance and of that quantile times the references' standard deviation (square-and-add: Newcombe 2001).

    Args:
        accepted: Boolean (P, S), P >= 2.
        confidence: Two-sided confidence in (0, 1).
        reference_variance: What resampling the references adds to the variance of the share.

    Raises:
        ValueError: if there are fewer than two prompts or no seeds.
    """
    prompts, seeds = _shape(accepted)
    many = shares(accepted[None], confidence, reference_variance)
    estimate, low, high, effective = (float(column[0]) for column in many)
    return Share(estimate, low, high, prompts, prompts * seeds, effective, prompts * seeds / effective)


class Shares(NamedTuple):
    """The shares of many studies at once; all float64 (N,)."""

    estimate: Floats
    low: Floats
    high: Floats
    effective: Floats


def shares(
    accepted: npt.NDArray[np.bool_], confidence: float = CONFIDENCE, reference_variance: float = 0.0
) -> Shares:
    """What ``share`` computes, for N studies of the same size.

    Args:
        accepted: Boolean (N, P, S), P >= 2.
        confidence: Two-sided confidence in (0, 1).
        reference_variance: As in ``share``.
    """
    means = accepted.mean(axis=2)
    estimate = means.mean(axis=1)
    effective = _effective_size(means, accepted.shape[2])
    quantile = _t_quantile(means.shape[1], confidence)
    low, high = _wilson(estimate, effective, quantile)
    more = quantile * sqrt(reference_variance)
    low = np.maximum(0.0, estimate - np.hypot(estimate - low, more))
    high = np.minimum(1.0, estimate + np.hypot(high - estimate, more))
    return Shares(estimate, low, high, effective)


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share ``p`` among ``n`` (may be fractional) pictures at quantile ``z``."""
    low, high = _wilson(np.array([p]), np.array([n]), z)
    return float(low[0]), float(high[0])


def mean(values: Floats, confidence: float = CONFIDENCE, shares: bool = False) -> Interval:
    """Mean of a measured value with a t interval over the means of prompts.

    Args:
        values: (P, S) or (P,); NaN where nothing could be measured. Prompts without any value are left out.
        confidence: Two-sided confidence in (0, 1).
        shares: Whether the values are shares within [0, 1]. Where all prompts have 0, or all 1, the ends are
            Wilson's for as many pictures as prompts: that none differed does not say that none would.

    Returns:
        Without ends (minus and plus infinity) where a single prompt has a value: it says nothing of others.

    Raises:
        ValueError: there is no value at all.
    """
    rows = values.reshape(len(values), -1)
    kept = rows[~np.isnan(rows).all(axis=1)]
    if not len(kept):
        raise ValueError("no prompt has a value")
    means = np.nanmean(kept, axis=1)
    centre = float(means.mean())
    if len(means) < 2:
        return Interval(centre, -inf, inf)
    quantile = _t_quantile(len(means), confidence)
    if shares and np.ptp(means) == 0.0 and centre in (0.0, 1.0):
        return Interval(centre, *wilson(centre, len(means), quantile))
    half = quantile * float(means.std(ddof=1)) / sqrt(len(means))
    return Interval(centre, centre - half, centre + half)


def difference(
    a: npt.NDArray[np.bool_],
    b: npt.NDArray[np.bool_],
    confidence: float = CONFIDENCE,
    reference_variance: float = 0.0,
) -> Interval:
    """Share of ``a`` minus share of ``b`` over the same prompts and seeds, paired by prompt.

    The ends of both shares' own intervals are combined (MOVER: Zou & Donner 2008; Newcombe's hybrid score for
    pairs) with the correlation of the two arms' prompt means. Unlike a t interval of the differences
    it keeps a sensible width when an arm is all accepted or all refused.

    Args:
        a: Boolean (P, S).
        b: Boolean (P, S), same prompts and seeds in the same order.
        confidence: Two-sided confidence in (0, 1).
        reference_variance: Variance of the difference when both arms are held against the same references
            drawn again; added as in ``share``.

    Raises:
        ValueError: if the shapes differ or there are fewer than two prompts.
    """
    if a.shape != b.shape:
        raise ValueError(f"arms are paired by prompt and seed, but have shapes {a.shape} and {b.shape}")
    one, two = share(a, confidence), share(b, confidence)
    rho = _correlation(a.mean(axis=1), b.mean(axis=1))
    gap = one.estimate - two.estimate
    more = _t_quantile(one.prompts, confidence) * sqrt(reference_variance)
    down = hypot(_combine(one.estimate - one.low, two.high - two.estimate, rho), more)
    up = hypot(_combine(one.high - one.estimate, two.estimate - two.low, rho), more)
    return Interval(gap, max(-1.0, gap - down), min(1.0, gap + up))


def spread(redrawn: Floats) -> float:
    """Variance of a share, or of a difference of two, over draws of the references (N,)."""
    return float(np.var(redrawn, ddof=1))


def _shape(accepted: npt.NDArray[np.bool_]) -> tuple[int, int]:
    if accepted.ndim != 2 or accepted.shape[0] < 2 or accepted.shape[1] < 1:
        raise ValueError(f"need accepts of shape (prompts >= 2, seeds >= 1), got {accepted.shape}")
    return accepted.shape[0], accepted.shape[1]


def _effective_size(means: Floats, seeds: int) -> Floats:
    """n_eff (N,) of prompt means (N, P), within [P, P·S].

    Where few prompts show both outcomes their variance says little about the correlation within prompts: the
    design effect is therefore averaged with its worst value, S, which counts as much as one such prompt.
    (Simulated: without it the lower bound exceeds a truth of .95 in 5.4 % of studies, with it in < 0.1 %.)
    """
    prompts, p = means.shape[1], means.mean(axis=1)
    variance = means.var(axis=1, ddof=1) / prompts
    ratio = variance * prompts * seeds / np.maximum(p * (1 - p), 1e-12)
    measured = np.where(variance == 0.0, 1.0, np.clip(ratio, 1.0, seeds))
    telling = np.minimum((means > 0.0).sum(axis=1), (means < 1.0).sum(axis=1))
    return np.asarray(prompts * seeds / ((telling * measured + seeds) / (telling + 1)), np.float64)


def _wilson(p: Floats, n: Floats, z: float) -> tuple[Floats, Floats]:
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)


@lru_cache(maxsize=256)
def _t_quantile(prompts: int, confidence: float) -> float:
    return float(stats.t.ppf(0.5 + confidence / 2, prompts - 1))


def _correlation(a: Floats, b: Floats) -> float:
    if a.std() == 0.0 or b.std() == 0.0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _combine(x: float, y: float, rho: float) -> float:
    return sqrt(max(0.0, x * x + y * y - 2 * rho * x * y))
