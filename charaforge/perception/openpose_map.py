"""Pose maps as ControlNets for OpenPose know them: coloured limbs and joints on black.

Drawn from the description of the format (lllyasviel's annotator of ControlNet 1.1): 17 limbs of 18 key
points, each an ellipse in its colour at 0.6 of its brightness, later ones over earlier ones, and on top of
them the joints as discs in full colour. Half the thickness of a limb, and the radius of a joint, are 4 px
where the shorter side has 512, and go with it. Edges are smooth (4 x 4 samples per pixel); pixel i has its
centre at i.

Key points, in order: nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee,
ankle, left hip, knee, ankle, right eye, left eye, right ear, left ear (right and left of the person).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

JOINTS = 18
SEEN = 0.3
"""Key points of a lower score are not drawn."""
LIMBS = (
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
)
COLORS = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
)
_LIMB_BRIGHTNESS = 0.6
_STICK, _STICK_SIDE = 4.0, 512.0
_SAMPLES = 4

Points = npt.NDArray[np.float32]
Canvas = npt.NDArray[np.float32]


def render_pose(keypoints: Points, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Draw people.

    Args:
        keypoints: float32 (P, 18, 3): x and y in pixels of the map, and the score.
        width: of the map, in pixels.
        height: likewise.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    stick = _STICK * min(width, height) / _STICK_SIDE
    canvas = np.zeros((height, width, 3), np.float32)
    for person in keypoints:
        seen = person[:, 2] >= SEEN
        for (start, end), color in zip(LIMBS, COLORS, strict=False):
            if seen[start] and seen[end]:
                dark = np.asarray(color, np.float32) * _LIMB_BRIGHTNESS
                _ellipse(canvas, person[start, :2], person[end, :2], stick, dark)
        for joint, color in enumerate(COLORS):
            if seen[joint]:
                point, aside = person[joint, :2], np.array([stick, 0], np.float32)
                _ellipse(canvas, point - aside, point + aside, stick, np.asarray(color, np.float32))
    return np.rint(canvas).astype(np.uint8)


def _ellipse(canvas: Canvas, start: Points, end: Points, half_width: float, color: Points) -> None:
    """Fill the ellipse whose long axis goes from `start` to `end` (x, y)."""
    middle, along = (start + end) / 2, (end - start) / 2
    half_length = max(float(np.hypot(*along)), 1e-3)
    reach = np.abs(along) + half_width + 1
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, canvas.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    fine = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
    x = (np.arange(low[0], high[0])[:, None] + fine).ravel() - middle[0]
    y = (np.arange(low[1], high[1])[:, None] + fine).ravel() - middle[1]
    cos, sin = along / half_length
    lengthwise = (x[None] * cos + y[:, None] * sin) / half_length
    across = (y[:, None] * cos - x[None] * sin) / half_width
    inside = lengthwise**2 + across**2 <= 1.0
    rows, columns = high[1] - low[1], high[0] - low[0]
    share = inside.reshape(rows, _SAMPLES, columns, _SAMPLES).mean((1, 3), dtype=np.float32)[..., None]
    part = canvas[low[1] : high[1], low[0] : high[0]]
    part += share * (color - part)
