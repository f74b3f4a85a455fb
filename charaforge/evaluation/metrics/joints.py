"""What all measures of poses share: joints, limbs, sizes of figures. Key points are OpenPose's 18."""

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]

SEEN = 0.3
NECK, HIPS, KNEES, ANKLES = 1, (8, 11), (9, 12), (10, 13)
ENDS = (3, 4, 6, 7, 9, 10, 12, 13)
"""Elbows, wrists, knees, ankles."""
LIMBS = ((2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13))
"""Upper arms, forearms, thighs, shins."""


def shown(target: Points) -> npt.NDArray[np.bool_]:
    """(N, 18) which joints of the targets (N, 18, 3) are there to be met."""
    return np.asarray(target[..., 2] >= SEEN, np.bool_)


def distances(found: Points, target: Points) -> npt.NDArray[np.float64]:
    """(N, 18) pixels between joints; inf where a joint was not found at all."""
    away = np.linalg.norm(found[..., :2].astype(np.float64) - target[..., :2], axis=-1)
    return np.asarray(np.where(found[..., 2] >= SEEN, away, np.inf), np.float64)


def torsos(target: Points) -> npt.NDArray[np.float64]:
    """(N,) pixels from the neck to the middle of the hips; NaN where these are not in the target."""
    there = shown(target)[:, [NECK, *HIPS]].all(axis=1)
    middle = target[:, list(HIPS), :2].mean(axis=1)
    length = np.linalg.norm(target[:, NECK, :2] - middle, axis=1)
    return np.asarray(np.where(there, length, np.nan), np.float64)


def extents(target: Points) -> npt.NDArray[np.float64]:
    """(N, 2) width and height in pixels of the box around the joints of each target; at least 1."""
    there = shown(target)[..., None]
    low = np.where(there, target[..., :2], np.inf).min(axis=1)
    high = np.where(there, target[..., :2], -np.inf).max(axis=1)
    return np.asarray(np.maximum(np.nan_to_num(high - low, neginf=1.0), 1.0), np.float64)


def heights(target: Points) -> npt.NDArray[np.float64]:
    """(N,) the figures' heights in pixels: the longer side of the box around the joints of the target."""
    return np.asarray(extents(target).max(axis=1), np.float64)
