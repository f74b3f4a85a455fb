"""Pictures of any mode as RGB on white, and of any length in a size that memory holds as a square."""

from __future__ import annotations

from PIL import Image


def on_white(image: Image.Image) -> Image.Image:
    """Return a picture as RGB; what is transparent shows white, greyscale is never taken for its own mask."""
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
