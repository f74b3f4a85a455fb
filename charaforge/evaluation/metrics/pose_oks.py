"""Object keypoint similarity, as COCO defines it, over the 17 joints that COCO knows (no neck)."""

import numpy as np

from charaforge.evaluation.identity import Scores
from charaforge.evaluation.metrics.joints import NECK, Points, distances, extents, shown
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "oks",
    "Key point similarity (OKS)",
    "share",
    "higher",
    "target poses, a pose estimator, a ControlNet",
    "COCO's measure: 1 for equal poses, falling with the distances, more leniently at hips than at eyes.",
)
_SIGMAS = {0: 0.026, 14: 0.025, 15: 0.025, 16: 0.035, 17: 0.035, 2: 0.079, 5: 0.079, 3: 0.072, 6: 0.072}
_SIGMAS |= {4: 0.062, 7: 0.062, 8: 0.107, 11: 0.107, 9: 0.087, 12: 0.087, 10: 0.089, 13: 0.089}
_AREA = 0.53
"""A figure's area as a share of the box around it, which COCO's evaluation assumes where it has no mask."""


def oks(found: Points, target: Points) -> Scores:
    """(N,) similarity of key points (N, 18, 3), 0 to 1; exp(-d² / (2 · area · (2σ)²)), mean over joints."""
    variances = np.array([(2 * _SIGMAS.get(joint, np.inf)) ** 2 for joint in range(18)])
    area = _AREA * extents(target).prod(axis=1)
    with np.errstate(invalid="ignore"):
        near = np.exp(-(distances(found, target) ** 2) / (2 * area[:, None] * variances))
    counted = shown(target).copy()
    counted[:, NECK] = False
    many = counted.sum(axis=1)
    return np.where(many > 0, np.where(counted, near, 0).sum(axis=1) / np.maximum(many, 1), np.nan)
