"""Pictures for the report: small copies embedded in the page as data URIs."""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

Enlarge = Callable[[Sequence[Image.Image]], list[Image.Image]]
"""Brings pictures up in size (the x4 upscaler), RGB to RGB."""

_QUALITY = 82


class Thumbnails:
    """Makes data URIs of pictures; those smaller than asked are enlarged first.

    Args:
        enlarge: The model's upscaler; None: Lanczos.
    """

    def __init__(self, enlarge: Enlarge | None) -> None:
        self._enlarge = enlarge

    def uri(self, path: Path, side: int) -> str:
        """The picture as a WebP data URI whose longer side is ``side`` px."""
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        if self._enlarge is not None and max(picture.size) < side:
            picture = self._enlarge([picture])[0]
        scale = side / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.resize(size, Image.Resampling.LANCZOS) if size != picture.size else picture
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=_QUALITY, method=4)
        return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
