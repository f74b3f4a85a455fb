"""Resizing by areas and moving by parts of a pixel, as TensorFlow and scikit-image define them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float64]


def resize_by_area(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize so that each new pixel is the mean of the area of the old picture that it covers.

    Args:
        pixels: (H, W, C).
        height: of the result, px; larger and smaller sizes alike.
        width: likewise.

    Returns:
        (height, width, C).
    """
    return _along(_along(pixels, height).swapaxes(0, 1), width).swapaxes(0, 1)


def centred(pixels: Pixels, height: int, width: int) -> Pixels:
    """Lay a picture in the middle of a canvas; its edges go on to those of the canvas.

    Where the space around it is odd, it moves by half a pixel, linearly interpolated.

    Args:
        pixels: (H, W, C), not larger than the canvas.
        height: of the canvas, px.
        width: likewise.
    """
    return _moved(_moved(pixels, height).swapaxes(0, 1), width).swapaxes(0, 1)


def _along(pixels: Pixels, size: int) -> Pixels:
    """Resize the first axis: differences of the running sum, taken at the new borders."""
    old = len(pixels)
    if old == size:
        return pixels
    sums = np.concatenate([np.zeros_like(pixels[:1]), np.cumsum(pixels, 0)])
    borders = np.arange(size + 1) * (old / size)
    below = np.minimum(borders.astype(int), old - 1)
    share = (borders - below)[:, None, None]
    taken = sums[below] * (1 - share) + sums[below + 1] * share
    means: Pixels = np.diff(taken, axis=0) * (size / old)
    return means


def _moved(pixels: Pixels, size: int) -> Pixels:
    last = len(pixels) - 1
    position = (np.arange(size) - (size - len(pixels)) / 2).clip(0, last)
    below = np.minimum(position.astype(int), max(last - 1, 0))
    share = (position - below)[:, None, None]
    moved: Pixels = pixels[below] * (1 - share) + pixels[np.minimum(below + 1, last)] * share
    return moved
