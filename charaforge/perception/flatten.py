"""Pictures of any mode as RGB on white, and of any length in a size that memory holds as a square."""

from __future__ import annotations

import numpy as np
from PIL import Image


def on_white(image: Image.Image) -> Image.Image:
    """Return a picture as RGB; what is transparent shows white, greyscale is never taken for its own mask.

    Pictures of 16 or 32 bits and of floats keep their brightness; Pillow would cut them off at 255.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def bounded(image: Image.Image, longest: int) -> Image.Image:
    """Shrink a picture by a whole factor, each block to its mean, until no side is longer than `longest` px.

    Before it is padded to a square: one of 30,000 px would take 2.7 GB.
    """
    factor = -(-max(image.size) // longest)
    return image.reduce(factor) if factor > 1 else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return greys of more than 8 bits as mode L: white is 65535, or 1 or 255 where nothing is brighter."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    highest = float(values.max())
    if image.mode.startswith("I;16"):
        top = 65535.0
    elif image.mode == "F" and highest <= 1:
        top = 1.0
    else:
        top = 255.0 if highest <= 255 else max(65535.0, highest)
    return Image.fromarray(np.rint(values.clip(0, top) * (255 / top)).astype(np.uint8))
