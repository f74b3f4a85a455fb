"""At which size a model renders, and how its picture becomes the size that was asked for.

A model whose card sets `max_side` renders larger pictures at its native area, in the aspect that was asked
for; its upscaler enlarges them, and a Lanczos filter brings them to exactly the size. Other models render
what is asked.

A hires pass makes two renderings of one: the first at the size asked for divided by the scale, the second at
the size asked for. With `max_side` both are at the native area, where alone such a model knows what it does
(twice that gives mini-sd a second, smaller figure): the second pass refines, the upscaler enlarges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from charaforge.requests.generation import SIDE_STEP


@dataclass(frozen=True)
class RenderSize:
    """What the diffusion model renders.

    Attributes:
        width: pixels, of the last pass.
        height: pixels, likewise.
        enlarged: whether the picture is enlarged afterwards.
        first: width and height of the first of two passes; None where there is one only.
    """

    width: int
    height: int
    enlarged: bool
    first: tuple[int, int] | None = None

    @property
    def begun(self) -> tuple[int, int]:
        """Width and height of the first pass."""
        return self.first or (self.width, self.height)


def render_size(width: int, height: int, card: Mapping[str, Any]) -> RenderSize:
    """Return what a model with this card renders for a picture of `width` x `height` pixels.

    The native area is kept to a step of 8 pixels, but no side falls below half the native one: a very long
    picture is rendered with more than the native area.
    """
    limit = card.get("max_side")
    if limit is None or max(width, height) <= int(limit):
        return RenderSize(width, height, enlarged=False)
    native = int(card.get("native_side", limit))
    scale = max(native / math.sqrt(width * height), native / 2 / min(width, height))
    return RenderSize(_stepped(width * scale), _stepped(height * scale), enlarged=True)


def hires_size(width: int, height: int, card: Mapping[str, Any], scale: float) -> RenderSize:
    """Return the two passes that a model with this card makes for a picture of `width` x `height` pixels."""
    last = render_size(width, height, card)
    if "max_side" in card:
        return replace(last, first=(last.width, last.height))
    return replace(last, first=(_stepped(width / scale), _stepped(height / scale)))


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the picture at exactly this size: Lanczos, after cutting what a rounded aspect has too much."""
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    box = (left, top, left + width * scale, top + height * scale)
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _stepped(side: float) -> int:
    return max(SIDE_STEP, round(side / SIDE_STEP) * SIDE_STEP)
