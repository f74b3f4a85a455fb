"""The texts that programs put into pictures: PNG chunks, and EXIF of JPEG and WebP. Nothing is decoded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from charaforge.errors import UsageError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_TEXT = 2**20  # characters, as Pillow limits a PNG's; longer texts are left out

_EXIF, _USER_COMMENT = 0x8769, 0x9286
_OWNER_TAGS = (0x010E, 0x010F, 0x0110)  # description, make, model: ComfyUI writes `prompt:{…}` into WebP
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, Image.DecompressionBombError)


def picture_texts(path: Path) -> dict[str, str]:
    """Return the texts in a picture by their names; an EXIF comment is called `parameters`, as in a PNG.

    Raises:
        UsageError: it is no PNG, JPEG or WebP, or is broken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its pixels are not read
            with Image.open(path, formats=FORMATS) as image:
                found = {str(name): text for name, text in image.info.items() if isinstance(text, str)}
                told = _exif_texts(image) | found
                return {name: text for name, text in told.items() if len(text) <= MAX_TEXT}
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or "it is no PNG, JPEG or WebP, or is broken"
        raise UsageError(
            f"{path} cannot be read: {reason}", "give a picture as its program saved it"
        ) from None


def _exif_texts(image: Image.Image) -> dict[str, str]:
    exif = image.getexif()
    texts: dict[str, str] = {}
    for tag in _OWNER_TAGS:
        name, colon, text = str(exif.get(tag, "")).strip("\0").partition(":")
        if colon and name in ("prompt", "workflow"):
            texts[name] = text
    comment: Mapping[int, object] = exif.get_ifd(_EXIF)
    value = comment.get(_USER_COMMENT)
    text = _comment(value) if isinstance(value, bytes) else str(value or "")
    return texts | ({"parameters": text} if text else {})


def _comment(data: bytes) -> str:
    """Return the text of a UserComment, whose first 8 bytes name its encoding (EXIF 2.3, 4.6.5)."""
    kind, body = data[:8], data[8:]
    if kind.startswith(b"UNICODE"):
        little = body[1:400:2].count(0) > body[0:400:2].count(0)  # where most letters' zero byte stands
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\0\ufeff")
    if kind.startswith((b"ASCII", b"\0\0\0\0")):
        return body.decode("utf-8", "replace").strip("\0")
    return data.decode("utf-8", "replace").strip("\0")
