"""Calibrating taggers on pictures whose tags are known: how probable is a tag really, when a tagger says p.

Platt's scaling, one slope and one offset per tagger over all tags that the known words use, found by Newton's
method on the likelihood (Platt 1999, with his smoothed targets).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from charaforge.curation.tagging.ensemble import KnownTagger, logit
from charaforge.curation.tagging.rules import FLOOR
from charaforge.errors import NotMeasurableError

FEWEST = 50
"""Least number of known tags, given or not, that a calibration rests on."""
_STEPS, _SMALL, _RIDGE = 50, 1e-8, 1e-6
_SLOPES = (0.1, 10.0)

Floats = npt.NDArray[np.float64]


def calibrate(
    tagger: KnownTagger, known: Iterable[tuple[Mapping[str, float], Iterable[str]]]
) -> tuple[float, float]:
    """Find slope and offset of a tagger.

    Args:
        tagger: what it is able to say.
        known: (its probabilities from 0.05 on, the right tags) of every picture.

    Returns:
        Slope and offset of p' = sigmoid(slope * logit(p) + offset).

    Raises:
        NotMeasurableError: too few tags are known to be right or wrong.
    """
    pairs = [(scores, set(words) & tagger.categories.keys()) for scores, words in known]
    used = set[str]().union(*(words for _, words in pairs))
    logits = [logit(scores.get(tag, FLOOR / 2)) for scores, _ in pairs for tag in used]
    right = np.array([tag in words for _, words in pairs for tag in used], float)
    if min(right.sum(), len(right) - right.sum()) < FEWEST:
        raise NotMeasurableError(
            f"{tagger.name}: {int(right.sum())} tags are known to be right and "
            f"{int(len(right) - right.sum())} to be wrong, at least {FEWEST} of each are needed",
            "put .txt files with the right tags beside more pictures",
        )
    return _platt(np.array(logits), right)


def _platt(logits: Floats, right: Floats) -> tuple[float, float]:
    positives, negatives = right.sum(), len(right) - right.sum()
    targets = np.where(right > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([logits, np.ones_like(logits)], 1)
    found = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-design @ found))
        curve = (design * (p * (1 - p))[:, None]).T @ design + np.eye(2) * _RIDGE
        step = np.linalg.solve(curve, design.T @ (p - targets))
        found = found - np.clip(step, -2, 2)
        if np.abs(step).max() < _SMALL:
            break
    return float(np.clip(found[0], *_SLOPES)), float(found[1])
