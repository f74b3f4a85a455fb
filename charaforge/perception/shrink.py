"""A picture as 32 × 32 greys, bit for bit as Pillow makes them, in a fraction of its time.

Pillow turns RGB into grey with integers, then resizes by Lanczos in two passes, each in integers of 22
binary places and rounded to 8 bits (`Convert.c`, `Resample.c`). Here the same sums are matrix products:
weights are split into a high and a low part, so that 32-bit floats hold every partial sum exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_PLACES = 22  # binary places of Pillow's weights
_LOW_PLACES = 7
_TALL = 100
_EXACT = 2**24  # up to here every integer is a 32-bit float
_GROUP = 8  # outputs that are computed in one product, from the inputs that they share
_GREY = np.array([[19595, 38470, 7471, 32768]], np.float32) / 65536  # ITU-R 601, and one half
_ROWS = 64  # rows turned grey at a time, so that they stay in the processor's cache


def grey(rgb: Pixels) -> Floats:
    """Return the greys of a picture, as `Image.convert("L")` does.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W) float32, whole numbers 0 to 255.
    """
    height, width, _ = rgb.shape
    result = np.empty((height, width), np.float32)
    for top in range(0, height, _ROWS):
        part = rgb[top : top + _ROWS].astype(np.float32)
        np.floor(cv2.transform(part, _GREY).reshape(len(part), width), out=result[top : top + _ROWS])
    return result


def shrink(greys: Floats, side: int) -> Floats:
    """Resize greys to a square, as `Image.resize((side, side), LANCZOS)` does; enlarging works too.

    Args:
        greys: (H, W) float32, whole numbers 0 to 255.
        side: px.

    Returns:
        (side, side) float32, whole numbers 0 to 255.
    """
    height, width = greys.shape
    if height > _TALL * width and side < height:  # where Pillow begins with the height
        low = _resized(np.ascontiguousarray(greys.T), height, side).T
        return _resized(np.ascontiguousarray(low), width, side)
    narrow = _resized(greys, width, side)
    return _resized(np.ascontiguousarray(narrow.T), height, side).T


@dataclass(frozen=True)
class _Weights:
    """Weights of a few neighbouring outputs.

    Attributes:
        first: the first input that they use.
        parts: (inputs, 2 × outputs), the high parts of all outputs, then the low ones; float64 where the sums
            could be too large for float32.
    """

    first: int
    parts: npt.NDArray[np.float32] | npt.NDArray[np.float64]


def _resized(rows: Floats, size: int, side: int) -> Floats:
    """Resize every row from `size` to `side` pixels."""
    high, low = np.empty((2, len(rows), side), np.int32)
    for number, weights in enumerate(_weights(size, side)):
        sums = rows[:, weights.first : weights.first + len(weights.parts)] @ weights.parts
        outputs = sums.shape[1] // 2
        place = slice(number * _GROUP, number * _GROUP + outputs)
        high[:, place], low[:, place] = sums[:, :outputs], sums[:, outputs:]
    high <<= _LOW_PLACES
    high += low
    high += 1 << (_PLACES - 1)
    high >>= _PLACES
    return np.clip(high, 0, 255, out=high).astype(np.float32)


@lru_cache(maxsize=256)
def _weights(size: int, side: int) -> tuple[_Weights, ...]:
    whole = lanczos(size, side)
    groups = []
    for start in range(0, side, _GROUP):
        part = whole[start : start + _GROUP]
        used = np.flatnonzero(part.any(axis=0))
        first, last = int(used[0]), int(used[-1])
        part = part[:, first : last + 1].T
        high = np.rint(part * 2.0**-_LOW_PLACES)
        both = np.concatenate([high, part - high * 2.0**_LOW_PLACES], axis=1)
        exact = (np.abs(both).sum(axis=0) * 255).max() < _EXACT
        groups.append(_Weights(first, both.astype(np.float32) if exact else both))
    return tuple(groups)


def lanczos(size: int, side: int) -> npt.NDArray[np.float64]:
    """Return Pillow's integer weights (side, size) for resizing by Lanczos with 3 lobes, times 2^22."""
    scale = size / side
    stretch = max(scale, 1.0)
    support = 3.0 * stretch
    result = np.zeros((side, size))
    for output in range(side):
        centre = (output + 0.5) * scale
        first = max(0, int(centre - support + 0.5))
        last = min(size, int(centre + support + 0.5))
        x = (np.arange(first, last) - centre + 0.5) / stretch
        weights = np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)
        scaled = weights / weights.sum() * 2.0**_PLACES
        result[output, first:last] = np.trunc(scaled + np.copysign(0.5, scaled))
    return result
