"""What all taggers have in common: an ONNX net, a table of tags, probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches, run_padded
from charaforge.perception.session import open_session

GENERAL, CHARACTER, RATING = 0, 4, 9
"""Danbooru's numbers of categories."""
_MANY = 1000  # tags from which on nearly all must be absent from any picture
_DOUBLE_SIGMOID = 0.45  # the sigmoid of a probability is never below 0.5

Prepare = Callable[[Image.Image, int], npt.NDArray[np.float32]]


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


class TagTable(NamedTuple):
    """The tags that a tagger knows.

    Attributes:
        names: words separated by spaces.
        categories: Danbooru category of each.
        counts: in how many pictures each occurred where its makers counted; 0 where nobody told.
    """

    names: tuple[str, ...]
    categories: tuple[int, ...]
    counts: tuple[int, ...]


class TagNet:
    """A tagger, opened once and called with any number of pictures.

    Args:
        model: the ONNX file: float32 NHWC, a square, in; probabilities, one column per tag, out.
        read_table: gives its tags.
        preproc_id: which preparation the pictures get; scores of different ones are not the same scores.
        prepare: turns a picture into float32 (side, side, 3).

    Raises:
        ModelFileError: the file is missing or broken, or gives another number of tags.
    """

    def __init__(
        self, model: Path, read_table: Callable[[], TagTable], preproc_id: str, prepare: Prepare
    ) -> None:
        self.preproc_id = preproc_id
        self._path = model
        self._prepare = prepare
        self._session = open_session(model)
        self.table = read_table()
        first = self._session.get_inputs()[0]
        if len(first.shape) != 4 or first.shape[3] != 3 or not isinstance(first.shape[1], int):
            raise ModelFileError(
                f"{model} takes {first.shape}", "taggers of this format take (N, side, side, 3)"
            )
        self._input, self._side = first.name, int(first.shape[1])
        self._batch = first.shape[0] if isinstance(first.shape[0], int) else None
        self._output = self._output_of_tags()

    @property
    def names(self) -> tuple[str, ...]:
        """The tags, words separated by spaces."""
        return self.table.names

    @property
    def categories(self) -> tuple[int, ...]:
        """Danbooru category of each tag."""
        return self.table.categories

    def tag(self, images: Sequence[Image.Image]) -> TagScores:
        """Probability of every tag for every picture (any size and mode).

        Raises:
            ModelFileError: what comes out are no probabilities.
        """
        parts = [np.zeros((0, len(self.names)), np.float32)]
        for group in batches(images):
            pixels = np.stack([self._prepare(image, self._side) for image in group])
            scores = run_padded(self._session, [self._output], {self._input: pixels}, self._batch)[0]
            if scores.shape[1:] != (len(self.names),):
                raise self._unlike(scores.shape[-1])
            parts.append(scores)
        probabilities = np.concatenate(parts)
        self._check(probabilities)
        return TagScores(probabilities, self.names, self.categories)

    def _output_of_tags(self) -> str:
        """Return the output with one column per tag; models with embeddings have others beside it."""
        outputs = self._session.get_outputs()
        widths = {output.name: output.shape[-1] for output in outputs}
        fitting = [name for name, width in widths.items() if width == len(self.names)]
        unsized = [name for name, width in widths.items() if not isinstance(width, int)]
        if not fitting and not unsized:
            raise self._unlike(outputs[0].shape[-1])
        return str((fitting or unsized)[0])

    def _unlike(self, width: object) -> ModelFileError:
        return ModelFileError(
            f"{self._path}: the model gives {width} tags, its table names {len(self.names)}",
            "take both files from the same revision",
        )

    def _check(self, scores: npt.NDArray[np.float32]) -> None:
        if not scores.size:
            return
        if not np.isfinite(scores).all() or scores.min() < -1e-3 or scores.max() > 1 + 1e-3:
            raise ModelFileError(
                f"{self._path} gives {scores.min():.3g} to {scores.max():.3g}, which are no probabilities",
                "taggers of this format end with a sigmoid; take the file that has it",
            )
        if scores.shape[1] >= _MANY and float(np.median(scores)) > _DOUBLE_SIGMOID:
            raise ModelFileError(
                f"{self._path} gives half of its {scores.shape[1]} tags more than {_DOUBLE_SIGMOID}",
                "its sigmoid is applied twice; take the file as its makers published it",
            )
