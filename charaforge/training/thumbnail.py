"""The small picture in a LoRA's header, `modelspec.thumbnail`, which programs show in their lists."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

THUMBNAIL = "modelspec.thumbnail"
SIDE = 256
"""Longest side, px: 10 to 20 kB as JPEG."""


def as_data_uri(picture: Path) -> str:
    """Return a picture as a `data:image/jpeg;base64,` URI, scaled down to `SIDE` px, on white."""
    with Image.open(picture) as opened:
        whole = opened.convert("RGBA")
    whole.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    paper = Image.new("RGBA", whole.size, "white")
    paper.alpha_composite(whole)
    written = io.BytesIO()
    paper.convert("RGB").save(written, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
