"""Which of several copies to keep: the larger one, then the one that lost less, then the first by path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_LOSSLESS = ("png", "bmp", "tiff", "ppm", "tga", "qoi", "dib")
_UNKNOWN_LOSS = 20.0  # as of a JPEG of middling quality


def preference(path: Path, row: Mapping[str, Any], loss: float) -> tuple[int, float, str]:
    """Return a key that sorts the better of two intact pictures first.

    Args:
        path: where it is.
        row: its width and height, px.
        loss: by `loss`.
    """
    return -int(row["width"]) * int(row["height"]), loss, str(path)


def loss(path: Path, kind: str) -> float:
    """Return how coarsely a picture was stored: 0 for lossless formats, else about 1 (best) to 120 (worst).

    For a JPEG it is the mean step of its brightness coefficients, by its quantisation table.

    Args:
        path: the file.
        kind: its format as `Picture` tells it.
    """
    if kind in _LOSSLESS:
        return 0.0
    try:
        if kind == "webp":
            with path.open("rb") as stream:
                return 0.0 if stream.read(16)[12:] == b"VP8L" else _UNKNOWN_LOSS
        with Image.open(path) as opened:
            tables = getattr(opened, "quantization", None)
    except OSError:
        return _UNKNOWN_LOSS
    return float(np.mean(tables[min(tables)])) if tables else _UNKNOWN_LOSS
