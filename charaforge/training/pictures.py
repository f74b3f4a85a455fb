"""Reading pictures for training: whole, upright, RGB, cut to a bucket's size."""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from charaforge.errors import DatasetError
from charaforge.perception.flatten import on_white

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def read_picture(path: Path) -> tuple[Image.Image, str]:
    """Decode a picture completely.

    Args:
        path: the file.

    Returns:
        The picture (RGB, upright by its EXIF orientation, on white where it was transparent) and the sha256
        of the file's bytes, 64 hex digits.

    Raises:
        DatasetError: the file is missing, cut off, or no picture.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} is not a picture") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} is broken: {error}") from error
    return on_white(picture), hashlib.sha256(data).hexdigest()


def cut(picture: Image.Image, size: tuple[int, int]) -> Tensor:
    """Scale a picture so that it covers `size` (width, height) px and cut out the middle.

    Returns:
        (3, height, width) float32 in [-1, 1].
    """
    fitted = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(fitted, dtype=np.float32))
    return pixels.permute(2, 0, 1) / 127.5 - 1.0


def bucket(size: tuple[int, int], resolution: int, multiple: int) -> tuple[int, int]:
    """Return the training size of a picture: its own aspect ratio, as far as whole multiples allow.

    Args:
        size: (width, height) of the picture, px.
        resolution: side of the square with the area that is trained, px.
        multiple: both sides are multiples of this, px.

    Returns:
        (width, height) with an area of at most resolution², within a factor of 2 in either direction.
    """
    aspect = min(max(size[0] / size[1], 0.5), 2.0)
    area = (resolution // multiple) ** 2
    shapes = [(w, area // w) for w in range(1, area + 1) if 0.5 <= w * w / area <= 2.0]
    width, height = min(shapes, key=lambda shape: abs(math.log(shape[0] / shape[1] / aspect)))
    return width * multiple, height * multiple
