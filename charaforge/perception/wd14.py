"""WD14 taggers (SmilingWolf's format): Danbooru tags with probabilities.

Format: ``model.onnx`` takes float32 NHWC, BGR, 0 to 255, and gives probabilities, already through the
sigmoid; ``selected_tags.csv`` names the columns (tag_id, name, category, count).
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches
from charaforge.perception.session import open_session

_KAOMOJI_LENGTH = 3


class TagScores(NamedTuple):
    """Tag probabilities of several pictures.

    Attributes:
        probabilities: float32 (N, T), 0 to 1.
        names: The T tags, words separated by spaces.
        categories: Danbooru category per tag: 0 general, 4 character, 9 rating.
    """

    probabilities: npt.NDArray[np.float32]
    names: tuple[str, ...]
    categories: tuple[int, ...]


class WD14Tagger:
    """A WD14 tagger, opened once and called with any number of pictures."""

    def __init__(self, folder: Path) -> None:
        """Open ``folder``/model.onnx and its tag table.

        Raises:
            ModelFileError: a file is missing or broken, or table and model have different lengths.
        """
        self._session = open_session(folder / "model.onnx")
        self.names, self.categories = _read_tags(folder / "selected_tags.csv")
        first = self._session.get_inputs()[0]
        self._input, self._side = first.name, int(first.shape[1])
        width = self._session.get_outputs()[0].shape[-1]
        if isinstance(width, int) and width != len(self.names):
            raise ModelFileError(
                f"{folder}: the model gives {width} tags, selected_tags.csv names {len(self.names)}",
                "take both files from the same revision",
            )

    def tag(self, images: Sequence[Image.Image]) -> TagScores:
        """Probability of every tag for every picture (any size and mode; see ``prepare``)."""
        parts = [np.zeros((0, len(self.names)), np.float32)]
        for group in batches(images):
            pixels = np.stack([prepare(image, self._side) for image in group])
            parts.append(self._session.run(None, {self._input: pixels})[0])
        return TagScores(np.concatenate(parts), self.names, self.categories)


def prepare(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """Lay the picture on white, pad it centred to a white square, resize bicubically.

    Returns:
        float32 (side, side, 3), BGR, 0 to 255.
    """
    rgba = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    edge = max(flat.size)
    square = Image.new("RGB", (edge, edge), "white")
    square.paste(flat, ((edge - flat.width) // 2, (edge - flat.height) // 2))
    if edge != side:
        square = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square, np.float32)[..., ::-1])


def _read_tags(path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [(row["name"], int(row["category"])) for row in csv.DictReader(stream)]
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise ModelFileError(message, "put the tagger's tag table there") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is no WD14 tag table", "columns: tag_id,name,category,count") from error
    return tuple(_spaced(name) for name, _ in rows), tuple(category for _, category in rows)


def _spaced(name: str) -> str:
    """Underscores become spaces, except in kaomoji such as ``^_^``."""
    return name.replace("_", " ") if len(name) > _KAOMOJI_LENGTH else name
