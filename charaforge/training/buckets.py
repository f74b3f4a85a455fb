"""Sizes that pictures are cut to: each near its own aspect, all of about one area, as few as is wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Size = tuple[int, int]
_STEPS_PER_SIDE = 16


@dataclass(frozen=True)
class Buckets:
    """The sizes of a run.

    Attributes:
        resolution: side of the square whose area no size exceeds, px.
        step: all sides are multiples of this, px.
        max_aspect: longest side over shortest, at most; 1 leaves only the square.
        upscale: whether small pictures are enlarged to the area.
    """

    resolution: int
    step: int
    max_aspect: float = 2.0
    upscale: bool = True

    def sizes(self, resolution: int) -> list[Size]:
        """Return every size of about the area resolution², (width, height) px, the narrowest first."""
        area = (resolution // self.step) ** 2
        shapes = [(width, area // width) for width in range(1, area + 1)]
        fitting = [(w, h) for w, h in shapes if w <= self.max_aspect * h and h <= self.max_aspect * w]
        side = resolution // self.step
        return [(w * self.step, h * self.step) for w, h in fitting or [(side, side)]]

    def of(self, picture: Size) -> Size:
        """Return the size that a picture loses least by being cut to."""
        resolution = self.resolution
        if not self.upscale:
            resolution = max(self.step, min(resolution, math.isqrt(picture[0] * picture[1])))
        return min(self.sizes(resolution), key=lambda size: _loss(picture, size))


def default_step(resolution: int, multiple: int) -> int:
    """Return the step where none is given: a sixteenth of the resolution, as 64 px are of 1024.

    Args:
        resolution: px.
        multiple: the step is a multiple of this, px.
    """
    return max(resolution // _STEPS_PER_SIDE // multiple, 1) * multiple


def fit(pictures: Sequence[Size], buckets: Buckets, at_most: int | None = None) -> list[Size]:
    """Return the size that each picture is cut to.

    Args:
        pictures: (width, height) of each, px.
        buckets: the sizes there are.
        at_most: number of sizes; those are kept by which all pictures together lose least, found by taking
            away one after the other the size that is missed least.
    """
    chosen = [buckets.of(picture) for picture in pictures]
    kept = sorted(set(chosen))
    while at_most is not None and len(kept) > at_most:
        kept.remove(min(kept, key=lambda size: _cost(pictures, [s for s in kept if s != size])))
    return [
        size if size in kept else min(kept, key=lambda s: _loss(picture, s))
        for picture, size in zip(pictures, chosen, strict=True)
    ]


def cut_off(picture: Size, size: Size) -> float:
    """Return the share of a picture's area that is lost when it is cut to the aspect of `size`."""
    return 1.0 - math.exp(-_loss(picture, size))


def _loss(picture: Size, size: Size) -> float:
    return abs(math.log(picture[0] / picture[1]) - math.log(size[0] / size[1]))


def _cost(pictures: Iterable[Size], sizes: Sequence[Size]) -> float:
    return sum(min(cut_off(picture, size) for size in sizes) for picture in pictures)
