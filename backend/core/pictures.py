"""Looking at a picture before it is decoded: its format and size, from its header."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
MAX_PIXELS = 4096 * 4096
_BROKEN = (OSError, ValueError, SyntaxError, EOFError)


class PictureFault(Exception):
    """Why a picture is not taken.

    Args:
        message: as a user reads it, after the name of the picture.
        too_large: whether it has too many pixels.
    """

    def __init__(self, message: str, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


def picture_size(file: Path | BinaryIO) -> tuple[str, int, int]:
    """Return format, width and height of a picture, from its header alone.

    Raises:
        PictureFault: it is none of PNG, JPEG, WebP, or has more than MAX_PIXELS.
    """
    try:
        with Image.open(file, formats=tuple(FORMATS)) as image:
            kind, (width, height) = str(image.format), image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large("far too many") from None
    except (UnidentifiedImageError, *_BROKEN):
        raise PictureFault("is no PNG, JPEG or WebP picture") from None
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width} × {height}")
    return kind, width, height


def check_decodes(file: Path | BinaryIO) -> None:
    """Decode a picture whose size was checked.

    Raises:
        PictureFault: it is cut off or broken.
    """
    try:
        with Image.open(file, formats=tuple(FORMATS)) as image:
            image.load()
    except _BROKEN as error:
        raise PictureFault(f"is broken: {error}") from None


def _too_large(pixels: str) -> PictureFault:
    return PictureFault(f"has {pixels} pixels; at most {MAX_PIXELS} are taken (4096 × 4096)", too_large=True)
