"""CCIP identity encoders (deepghs' format): pictures of one character lie close together.

Format: ``model_feat.onnx`` takes float32 NCHW, RGB, squashed to a square, divided by 255 and normalised with
CLIP's mean and standard deviation. CCIP's difference of two pictures is (1 - cosine) / 2.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches
from charaforge.perception.flatten import on_white
from charaforge.perception.session import open_session

PREPROC_ID = "ccip"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class IdentityEncoder:
    """An identity encoder, opened once.

    Attributes:
        threshold: Largest CCIP difference that the model's makers call the same character; None if untold.
    """

    preproc_id = PREPROC_ID

    def __init__(self, folder: Path) -> None:
        """Open ``folder``/model_feat.onnx, and metrics.json beside it where there is one.

        Raises:
            ModelFileError: a file is missing or broken.
        """
        self._session = open_session(folder / "model_feat.onnx")
        first = self._session.get_inputs()[0]
        self._input, self._side = first.name, int(first.shape[2])
        self._dimensions = int(self._session.get_outputs()[0].shape[-1])
        self.threshold = _read_threshold(folder / "metrics.json")

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Embeddings float32 (N, D), L2-normalised: their products are cosines."""
        parts = [np.zeros((0, self._dimensions), np.float32)]
        for group in batches(images):
            pixels = np.stack([prepare(image, self._side) for image in group])
            parts.append(self._session.run(None, {self._input: pixels})[0])
        raw = np.concatenate(parts)
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12), np.float32)


def prepare(image: Image.Image, side: int) -> npt.NDArray[np.float32]:
    """Squash to ``side`` x ``side`` (bilinear), normalise as CLIP does; float32 (3, side, side)."""
    squashed = on_white(image).resize((side, side), Image.Resampling.BILINEAR)
    unit = np.asarray(squashed, np.float32) / 255
    normalised = (unit - np.asarray(CLIP_MEAN, np.float32)) / np.asarray(CLIP_STD, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def _read_threshold(path: Path) -> float | None:
    if not path.is_file():
        return None
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["threshold"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f'{path} has no number "threshold"', "fetch it again or delete it") from error
