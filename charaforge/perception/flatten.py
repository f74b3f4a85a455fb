"""Pictures of any mode as RGB on white."""

from __future__ import annotations

from PIL import Image


def on_white(image: Image.Image) -> Image.Image:
    """Return a picture as RGB; what is transparent shows white, greyscale is never taken for its own mask."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
