"""The head of a figure, cut out by its key points."""

import numpy as np
import numpy.typing as npt
from PIL import Image

_FACE = [0, 14, 15, 16, 17]  # nose, eyes, ears
_NECK = 1
_SEEN = 0.3
_REACH = 1.15
"""Half the crop's side as a multiple of the distance from the neck to the face, or of the face's width."""
_SMALLEST = 8  # px


def head_crop(picture: Image.Image, points: npt.NDArray[np.float32]) -> Image.Image | None:
    """Cut a square around the head, hair included.

    Args:
        picture: Any size.
        points: (18, 3) key points in its pixels.

    Returns:
        RGB, white where the square leaves the picture; None where fewer than three of nose, eyes and ears
        are seen, or the head is too small to be told.
    """
    face = points[_FACE][points[_FACE, 2] >= _SEEN][:, :2]
    if len(face) < 3:
        return None
    centre = face.mean(axis=0)
    width = float(np.ptp(face[:, 0]))
    drop = float(np.linalg.norm(points[_NECK, :2] - centre)) if points[_NECK, 2] >= _SEEN else 0.0
    half = round(_REACH * max(width, drop))
    if 2 * half < _SMALLEST:
        return None
    left, top = round(float(centre[0])) - half, round(float(centre[1])) - half
    square = Image.new("RGB", (2 * half, 2 * half), "white")
    square.paste(picture, (-left, -top))
    return square
