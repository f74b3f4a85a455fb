"""PCK: the share of joints that are where they were asked to be."""

import numpy as np

from charaforge.evaluation.identity import Scores
from charaforge.evaluation.metrics.joints import ENDS, Points, distances, heights, shown, torsos
from charaforge.evaluation.metrics.metric import Metric

TORSO = Metric(
    "pck_t20",
    "Joints within 20 % of the torso (PCK)",
    "share",
    "higher",
    "target poses, a pose estimator, a ControlNet",
    "Share of the target's joints that are found within a fifth of its torso's length. Nobody found: 0.",
)
LIMBS = Metric(
    "pck_h5_limbs",
    "Limb ends within 5 % of the height (PCK)",
    "share",
    "higher",
    "target poses, a pose estimator, a ControlNet",
    "Share of elbows, wrists, knees and ankles that are found within a twentieth of the figure's height, the "
    "longer side of the box around its joints.",
)


def pck_t20(found: Points, target: Points) -> Scores:
    """(N,) PCK at 0.2 torsos of key points (N, 18, 3); NaN where the target shows no torso."""
    hit = distances(found, target) <= 0.2 * torsos(target)[:, None]
    return np.where(np.isnan(torsos(target)), np.nan, _share(hit, shown(target)))


def pck_h5_limbs(found: Points, target: Points) -> Scores:
    """(N,) PCK of the limb ends at 0.05 heights; NaN where the target shows no limb end."""
    hit = distances(found, target) <= 0.05 * heights(target)[:, None]
    ends = np.zeros(18, bool)
    ends[list(ENDS)] = True
    return _share(hit, shown(target) & ends)


def _share(hit: np.ndarray, counted: np.ndarray) -> Scores:
    many = counted.sum(axis=1)
    return np.where(many > 0, (hit & counted).sum(axis=1) / np.maximum(many, 1), np.nan)
