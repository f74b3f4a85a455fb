"""DeepDanbooru (KichangKim's tagger, 2021 vocabulary) as ONNX: an opinion beside WD14's.

Format: one ``.onnx`` takes float32 NHWC, RGB, 0 to 1, and gives probabilities. Its tags stand in
``deepdanbooru_tags.csv`` (name, category, and more) or, as its makers publish them, in ``tags.txt`` (one per
line; ``rating:safe`` is of the category rating).

Pictures are laid on white, resized by areas with their aspect kept, and centred; the edges go on into the
padding (``deepdanbooru``). Padding with black, as some ports do, gives other scores.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.areas import centred, resize_by_area
from charaforge.perception.flatten import bounded, on_white
from charaforge.perception.session import only_model
from charaforge.perception.tag_names import spaced
from charaforge.perception.tag_net import GENERAL, RATING, TagNet, TagTable

TABLES = ("deepdanbooru_tags.csv", "tags.csv", "tags.txt")
_RATING = "rating:"
_LONGEST = 4096  # px; see `bounded`


class DeepDanbooruTagger(TagNet):
    """A DeepDanbooru tagger.

    Args:
        folder: holds one ``.onnx`` and one of the tables.

    Raises:
        ModelFileError: a file is missing or broken, or table and model have different lengths.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(only_model(folder), lambda: _read_tags(folder), "deepdanbooru", prepare)


def prepare(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """Lay the picture on white, resize it by areas into the square, continue its edges.

    Returns:
        float32 (side, side, 3), RGB, 0 to 1.
    """
    flat = bounded(on_white(image), _LONGEST)
    scale = min(side / flat.width, side / flat.height)
    width, height = (min(side, max(1, round(length * scale))) for length in flat.size)
    channels = [np.asarray(channel, np.float64)[..., None] for channel in flat.split()]
    resized = np.concatenate([resize_by_area(channel, height, width) for channel in channels], 2)
    return np.ascontiguousarray(centred(resized, side, side) / 255, np.float32)


def table_in(folder: Path) -> Path | None:
    """Return the table of tags in a folder."""
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def _read_tags(folder: Path) -> TagTable:
    path = table_in(folder)
    if path is None:
        raise ModelFileError(f"{folder} has no table of tags", f"put {' or '.join(TABLES)} there")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            rows = [(name, _category(name)) for name in text.split()]
        else:
            rows = [(row["name"], int(row["category"])) for row in csv.DictReader(text.splitlines())]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}", "fetch it again") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is no table of tags", "it needs the columns name,category") from error
    names = tuple(spaced(name.removeprefix(_RATING)) for name, _ in rows)
    return TagTable(names, tuple(category for _, category in rows), (0,) * len(rows))


def _category(name: str) -> int:
    """Return the category as far as a bare name tells it."""
    return RATING if name.startswith(_RATING) else GENERAL
