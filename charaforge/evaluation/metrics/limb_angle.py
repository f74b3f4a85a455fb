"""Limb-angle error: by how many degrees upper arms, forearms, thighs and shins miss their direction."""

import numpy as np

from charaforge.evaluation.identity import Scores
from charaforge.evaluation.metrics.joints import LIMBS, SEEN, Points, shown
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "limb_angle",
    "Limb-angle error",
    "degrees",
    "lower",
    "target poses, a pose estimator, a ControlNet",
    "Mean angle between the eight limbs and those of the target; a limb that is not found counts 90.",
)
_NOT_FOUND = 90.0


def limb_angles(found: Points, target: Points) -> Scores:
    """(N,) mean error in degrees, 0 to 180, over the limbs of the targets (N, 18, 3); NaN without limbs."""
    starts, ends = (np.array(column) for column in zip(*LIMBS, strict=True))
    wanted = target[:, ends, :2] - target[:, starts, :2]
    drawn = found[:, ends, :2] - found[:, starts, :2]
    turn = np.arctan2(drawn[..., 1], drawn[..., 0]) - np.arctan2(wanted[..., 1], wanted[..., 0])
    error = np.degrees(np.abs((turn + np.pi) % (2 * np.pi) - np.pi)).astype(np.float64)
    there = (found[..., 2] >= SEEN)[:, starts] & (found[..., 2] >= SEEN)[:, ends]
    error = np.where(there, error, _NOT_FOUND)
    counted = shown(target)[:, starts] & shown(target)[:, ends]
    many = counted.sum(axis=1)
    return np.where(many > 0, np.where(counted, error, 0).sum(axis=1) / np.maximum(many, 1), np.nan)
