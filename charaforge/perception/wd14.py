"""WD14 taggers (SmilingWolf's format): Danbooru tags with probabilities.

Format: ``model.onnx`` takes float32 NHWC, BGR, 0 to 255, and gives probabilities, already through the
sigmoid; ``selected_tags.csv`` names the columns (tag_id, name, category, count).

Pictures are laid on white and padded to a white square, the picture in its middle. The two generations
differ in what follows: ``wd14-v3`` resizes bicubically (Pillow, antialiased); ``wd14-v2`` pads to at least
the model's side, so that nothing is enlarged, and shrinks by areas (OpenCV).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError, UnknownNameError
from charaforge.perception.flatten import bounded, on_white
from charaforge.perception.tag_names import spaced
from charaforge.perception.tag_net import Prepare, TagNet, TagScores, TagTable
from charaforge.warehouse.cards import read_card

__all__ = ["PREPARATIONS", "TABLE", "TagScores", "WD14Tagger", "prepare", "prepare_v2"]

TABLE = "selected_tags.csv"
_LONGEST = 8192  # px; longer sides are halved, or divided by more, before the picture is padded


class WD14Tagger(TagNet):
    """A WD14 tagger of either generation, v2 or v3.

    Args:
        folder: holds ``model.onnx``, ``selected_tags.csv`` and maybe ``card.json``.
        preproc_id: "wd14-v3" or "wd14-v2" [default: what the card says, else "wd14-v3"].

    Raises:
        ModelFileError: a file is missing or broken, or table and model have different lengths.
        UnknownNameError: there is no such preparation.
    """

    def __init__(self, folder: Path, preproc_id: str = "") -> None:
        chosen = preproc_id or str(read_card(folder).get("preproc_id", "")) or "wd14-v3"
        if chosen not in PREPARATIONS:
            raise UnknownNameError("preparation of WD14 taggers", chosen, PREPARATIONS)
        super().__init__(
            folder / "model.onnx", lambda: _read_tags(folder / TABLE), chosen, PREPARATIONS[chosen]
        )


def prepare(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """Lay the picture on white, pad it centred to a white square, resize bicubically (v3).

    Returns:
        float32 (side, side, 3), BGR, 0 to 255.
    """
    flat = bounded(on_white(image), _LONGEST)
    square = _squared(flat, max(flat.size))
    if square.width != side:
        square = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square, np.float32)[..., ::-1])


def prepare_v2(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """Lay the picture on white, pad it centred to a white square of at least ``side``, shrink by areas (v2).

    Returns:
        float32 (side, side, 3), BGR, 0 to 255.
    """
    import cv2

    flat = bounded(on_white(image), _LONGEST)
    square = np.asarray(_squared(flat, max(*flat.size, side)))[..., ::-1]
    if len(square) > side:
        square = cv2.resize(np.ascontiguousarray(square), (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(square, np.float32)


PREPARATIONS: Mapping[str, Prepare] = {"wd14-v3": prepare, "wd14-v2": prepare_v2}
"""How pictures are prepared, by `preproc_id`."""


def _squared(flat: Image.Image, edge: int) -> Image.Image:
    square = Image.new("RGB", (edge, edge), "white")
    square.paste(flat, ((edge - flat.width) // 2, (edge - flat.height) // 2))
    return square


def _read_tags(path: Path) -> TagTable:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [
                (spaced(row["name"]), int(row["category"]), int(row.get("count") or 0))
                for row in csv.DictReader(stream)
            ]
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ModelFileError(message, "put the tagger's tag table there") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path} is no WD14 tag table", "columns: tag_id,name,category,count") from error
    return TagTable(*(tuple(column) for column in zip(*rows, strict=True))) if rows else TagTable((), (), ())
