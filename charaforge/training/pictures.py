"""Reading pictures for training: whole, upright, RGB, cut to a bucket's size."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from charaforge.errors import DatasetError
from charaforge.perception.flatten import on_white

_NAMES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg")}
_NAMES |= {"WEBP": (".webp",), "BMP": (".bmp",)}
SUFFIXES = tuple(dict.fromkeys(suffix for group in _NAMES.values() for suffix in group))
"""Names of files that are taken for pictures end so."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Decoded:
    """A picture, decoded completely.

    Attributes:
        rgb: RGB, upright by its EXIF orientation, on white where it was transparent.
        alpha: its opacity as mode L, upright; None where it has none.
        sha256: of the file's bytes, 64 hex digits.
        note: what is odd about the file, "" where nothing is: its name tells another format.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    sha256: str
    note: str = ""


@dataclass(frozen=True)
class View:
    """What a picture is cut to: a part of it, perhaps mirrored.

    Attributes:
        box: left, top, right and bottom edge of the part, px of the picture, fractions allowed.
        flipped: whether left and right are exchanged.
    """

    box: tuple[float, float, float, float]
    flipped: bool = False

    def offset(self, size: Size, picture: Size) -> tuple[int, int]:
        """Return how much is cut off at the (top, left), px of a picture whose part has become `size`.

        Args:
            size: (width, height) of the part, px.
            picture: (width, height) of the whole picture, px; where it is mirrored, so is what is cut off.
        """
        left, top, right, bottom = self.box
        cut_off = picture[0] - right if self.flipped else left
        return round(top * size[1] / (bottom - top)), round(cut_off * size[0] / (right - left))


def read_picture(path: Path) -> Decoded:
    """Decode a picture completely.

    Raises:
        DatasetError: the file is missing, cut off, or no picture.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            told = opened.format or ""
            picture = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path} is not a picture") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} is broken: {error}") from error
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    wrong = path.suffix.lower() not in _NAMES.get(told, (path.suffix.lower(),))
    note = f"{path} is named {path.suffix}, its content is {told}" if wrong else ""
    return Decoded(on_white(picture), alpha, hashlib.sha256(data).hexdigest(), note)


def middle(picture: Size, size: Size) -> View:
    """Return the largest part in the middle of a picture that has the aspect of `size`."""
    width, height = _covering(picture, size)
    left, top = (picture[0] - width) * 0.5, (picture[1] - height) * 0.5
    return View((left, top, left + width, top + height))


def anywhere(picture: Size, size: Size, smallest: float, chance: random.Random) -> View:
    """Return a random part of a picture that has the aspect of `size`.

    Args:
        picture: (width, height) of the picture, px.
        size: (width, height) it is cut to, px.
        smallest: share of the largest such part's sides that it has at least.
        chance: decides scale and place.
    """
    scale = chance.uniform(smallest, 1.0)
    width, height = (side * scale for side in _covering(picture, size))
    left, top = chance.uniform(0, picture[0] - width), chance.uniform(0, picture[1] - height)
    return View((left, top, left + width, top + height))


def cut(picture: Image.Image, size: Size, view: View) -> Tensor:
    """Scale a part of a picture to `size` (width, height) px.

    Returns:
        (3, height, width) float32 in [-1, 1].
    """
    fitted = picture.resize(size, Image.Resampling.LANCZOS, box=view.box)
    if view.flipped:
        fitted = ImageOps.mirror(fitted)
    pixels = torch.from_numpy(np.array(fitted, dtype=np.float32))
    return pixels.permute(2, 0, 1) / 127.5 - 1.0


def cut_mask(mask: Image.Image, picture: Size, size: Size, view: View) -> Tensor:
    """Return the mean of a mask over the area of each latent.

    Args:
        mask: mode L, white where the picture counts; brought to the picture's size where it has another.
        picture: (width, height) of the picture, px.
        size: (width, height) of the latents.
        view: the part that is seen.

    Returns:
        (1, height, width) float32 in [0, 1].
    """
    fitted = mask if mask.size == picture else mask.resize(picture, Image.Resampling.BILINEAR)
    fitted = fitted.resize(size, Image.Resampling.BOX, box=view.box)
    if view.flipped:
        fitted = ImageOps.mirror(fitted)
    return torch.from_numpy(np.array(fitted, dtype=np.float32)).unsqueeze(0) / 255.0


def _covering(picture: Size, size: Size) -> tuple[float, float]:
    """Return width and height of the largest part of a picture with the aspect of `size`."""
    aspect = size[0] / size[1]
    if picture[0] / picture[1] >= aspect:
        return picture[1] * aspect, float(picture[1])
    return float(picture[0]), picture[0] / aspect
