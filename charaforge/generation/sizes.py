"""At which size a model renders, and how its picture becomes the size that was asked for.

A model whose card sets `max_side` renders larger pictures at its native area, in the aspect that was asked
for; its upscaler enlarges them, and a Lanczos filter brings them to exactly the size. Other models render
what is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from charaforge.requests.generation import SIDE_STEP


@dataclass(frozen=True)
class RenderSize:
    """What the diffusion model renders.

    Attributes:
        width: pixels.
        height: pixels.
        enlarged: whether the picture is enlarged afterwards.
    """

    width: int
    height: int
    enlarged: bool


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


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the picture at exactly this size: Lanczos, after cutting what a rounded aspect has too much."""
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    box = (left, top, left + width * scale, top + height * scale)
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _stepped(side: float) -> int:
    return max(SIDE_STEP, round(side / SIDE_STEP) * SIDE_STEP)
