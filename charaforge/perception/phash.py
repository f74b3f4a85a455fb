"""Perceptual hashes: ImageHash's `phash`, bit for bit, and those of the turned picture from the same numbers.

A hash tells which of the lowest frequencies of a picture's cosine transform lie above their median. Mirroring
a picture changes the sign of its odd frequencies, swapping its axes swaps theirs; so the hashes of all eight
ways of holding a picture come from one transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from charaforge.perception.shrink import Pixels, grey, shrink

Hashes = npt.NDArray[np.uint64]
Block = npt.NDArray[np.float64]

SIDE = 32
"""Pictures are resized to this many pixels a side before the transform."""
TURNS = ("", "mirror", "flip", "rot180", "transpose", "rot270", "rot90", "transverse")
"""Ways of holding a picture, by number: 4 swaps rows and columns, then 2 turns upside down, then 1 mirrors;
"rot90" is counterclockwise, as in NumPy."""
_SMALL, _WIDE = 8, 16


@dataclass(frozen=True)
class PerceptualHash:
    """The hashes of one picture, held in all eight ways.

    Attributes:
        small: (8,) uint64 by turn; the first bit is the highest, as in ImageHash's text.
        wide: (8, 4) uint64 by turn, 256 bits.
    """

    small: Hashes
    wide: Hashes

    @property
    def text(self) -> str:
        """The hash as ImageHash writes it: 16 hex digits."""
        return f"{int(self.small[0]):016x}"


def phash(pictures: Sequence[Pixels]) -> list[PerceptualHash]:
    """Hash pictures.

    Args:
        pictures: uint8 (H, W, 3) each, sRGB.
    """
    if not pictures:
        return []
    greys = np.stack([shrink(grey(picture), SIDE) for picture in pictures]).astype(np.float64)
    transformed = scipy.fft.dct(scipy.fft.dct(greys, axis=1), axis=2)
    small = [above_median(held(transformed[:, :_SMALL, :_SMALL], turn)) for turn in range(len(TURNS))]
    wide = [above_median(held(transformed[:, :_WIDE, :_WIDE], turn)) for turn in range(len(TURNS))]
    by_picture = zip(np.stack(small, axis=1)[..., 0], np.stack(wide, axis=1), strict=True)
    return [PerceptualHash(one, other) for one, other in by_picture]


def held(blocks: Block, turn: int) -> Block:
    """Return the frequencies (n, side, side) of the pictures held in another way (a number of `TURNS`)."""
    result = blocks.transpose(0, 2, 1) if turn & 4 else blocks
    signs = (-1.0) ** np.arange(blocks.shape[1])
    result = result * signs[:, None] if turn & 2 else result
    return result * signs[None, :] if turn & 1 else result


def turned(picture: npt.NDArray[np.generic], turn: int) -> npt.NDArray[np.generic]:
    """Return a picture (H, W, …) held in another way (a number of `TURNS`)."""
    result = picture.swapaxes(0, 1) if turn & 4 else picture
    result = result[::-1] if turn & 2 else result
    return result[:, ::-1] if turn & 1 else result


def above_median(blocks: Block) -> Hashes:
    """Return (n, side² / 64) uint64: a bit per frequency, set where it lies above the median of its block."""
    flat = blocks.reshape(len(blocks), -1)
    bits = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)
