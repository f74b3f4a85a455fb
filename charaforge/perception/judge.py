"""The signature judge: which signature trait a picture shows, independent of the identity encoder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches
from charaforge.perception.session import open_session


class SignatureScores(NamedTuple):
    """What the judge sees.

    Attributes:
        kinds: float32 (N, K) probabilities over ``kind_names``.
        colors: float32 (N, C) probabilities over ``color_names``.
        kind_names: Kinds of signature, the first is "none".
        color_names: Colours of signatures, the first is "none".
    """

    kinds: npt.NDArray[np.float32]
    colors: npt.NDArray[np.float32]
    kind_names: tuple[str, ...]
    color_names: tuple[str, ...]

    def decided(self) -> list[tuple[str, str]]:
        """The most probable (kind, colour) of each picture; ("none", "none") where the kind is none."""
        pairs = zip(self.kinds.argmax(1), self.colors.argmax(1), strict=True)
        named = [(self.kind_names[k], self.color_names[c]) for k, c in pairs]
        return [("none", "none") if kind == "none" else (kind, color) for kind, color in named]


class SignatureJudge:
    """A signature judge, opened once."""

    def __init__(self, folder: Path) -> None:
        """Open ``folder``/model.onnx and labels.json.

        Raises:
            ModelFileError: a file is missing or broken.
        """
        self._session = open_session(folder / "model.onnx")
        first = self._session.get_inputs()[0]
        self._input, self._side = first.name, int(first.shape[2])
        self._kinds, self._colors = _read_labels(folder / "labels.json")

    def judge(self, images: Sequence[Image.Image]) -> SignatureScores:
        """Probabilities of kind and colour for every picture."""
        logits = [np.zeros((0, len(self._kinds) + len(self._colors)), np.float32)]
        for group in batches(images):
            pixels = np.stack([prepare(image, self._side) for image in group])
            logits.append(self._session.run(None, {self._input: pixels})[0])
        kinds, colors = np.split(np.concatenate(logits), [len(self._kinds)], axis=1)
        return SignatureScores(_softmax(kinds), _softmax(colors), self._kinds, self._colors)


def prepare(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """Squash to ``side`` x ``side`` (bilinear); float32 (3, side, side), RGB, 0 to 1."""
    squashed = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(squashed, np.float32).transpose(2, 0, 1) / 255)


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True)) if len(logits) else logits
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def _read_labels(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return tuple(table["kinds"]), tuple(table["colors"])
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}", "fetch it again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f'{path} lacks "kinds" or "colors"', "fetch it again") from error
