"""Reading the pictures that are judged."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from charaforge.errors import PictureError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"))
"""Endings of the files that are pictures, in folders."""


def read_pictures(paths: Sequence[Path]) -> list[Image.Image]:
    """Decode pictures as RGB.

    Raises:
        PictureError: one cannot be read.
    """
    pictures = []
    for path in paths:
        try:
            with Image.open(path) as opened:
                pictures.append(opened.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise PictureError(f"{path} cannot be read: {error}", "restore it, or take it out") from error
    return pictures
