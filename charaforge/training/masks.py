"""Masks: what of a picture counts in the loss."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from charaforge.errors import DatasetError, UsageError
from charaforge.training.pictures import SUFFIXES, Size, read_picture

_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Mask:
    """Where a picture's mask is.

    Attributes:
        path: of a greyscale picture, white where the picture counts, or of the picture itself.
        own: whether it is the picture's own transparency.
        sha256: of the file's bytes.
    """

    path: Path
    own: bool
    sha256: str

    def read(self) -> Image.Image:
        """Return the mask, mode L.

        Raises:
            DatasetError: it cannot be read.
        """
        decoded = read_picture(self.path)
        if not self.own:
            return decoded.rgb.convert("L")
        return decoded.alpha or Image.new("L", decoded.rgb.size, 255)


def find_masks(folder: Path, pictures: Sequence[tuple[Path, Size]]) -> dict[Path, Mask]:
    """Return the mask of each picture that has one: a file of the same name, whatever its suffix.

    Args:
        folder: holds the masks.
        pictures: path and (width, height) of each picture.

    Raises:
        UsageError: there is no such folder.
        DatasetError: a mask cannot be read, or has another aspect than its picture; all of them are told.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "mask_dir is the folder that holds the masks")
    by_name = {p.stem: p for p in sorted(folder.iterdir(), reverse=True) if p.suffix.lower() in SUFFIXES}
    found = {picture: by_name[picture.stem] for picture, _ in pictures if picture.stem in by_name}
    faults = [fault for picture, size in pictures if (fault := _fault(found.get(picture), size))]
    if faults:
        told = "".join(f"\n  - {line}" for line in faults)
        raise DatasetError(f"{len(faults)} masks cannot be used:{told}", "draw them again, or take them away")
    return {
        picture: Mask(path, False, hashlib.sha256(path.read_bytes()).hexdigest())
        for picture, path in found.items()
    }


def _fault(path: Path | None, size: Size) -> str:
    """Return what is wrong with a mask, "" where nothing is or there is none."""
    if path is None:
        return ""
    try:
        with Image.open(path) as mask:
            mask.load()
            width, height = mask.size
    except (UnidentifiedImageError, OSError, ValueError) as error:
        return f"{path} cannot be read: {error}"
    if abs(width * size[1] / (height * size[0]) - 1) > _ASPECT_TOLERANCE:
        return f"{path} is {width}x{height}, its picture {size[0]}x{size[1]}"
    return ""
