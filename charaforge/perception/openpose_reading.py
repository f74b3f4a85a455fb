"""Key points read off a finished pose map: the inverse of `openpose_map` for one person.

A joint is a disc in its full colour, a limb has its colour at 0.6; so the middle of all pixels near a joint's
full colour is the joint. Joints that others hide, or that a blurred map has lost, are not found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.perception.openpose_map import COLORS, JOINTS

_NEAR = 36.0  # levels of 255 between a pixel and a joint's colour; neighbouring colours differ by 85
_SPREAD = 0.06  # of the longer side: pixels of one joint lie closer together


def points_of_map(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return float32 (18, 3), OpenPose order: x, y in pixels of the map; the score is 1 where found, else 0.

    Args:
        image: a map of one person, any size and format.
    """
    pixels = np.asarray(image.convert("RGB"), np.float32)
    found = np.zeros((JOINTS, 3), np.float32)
    for joint, color in enumerate(COLORS):
        away = np.linalg.norm(pixels - np.asarray(color, np.float32), axis=-1)
        y, x = np.nonzero(away <= _NEAR)
        if len(x) and max(float(x.std()), float(y.std())) <= _SPREAD * max(image.size):
            found[joint] = (float(np.median(x)), float(np.median(y)), 1.0)
    return found
