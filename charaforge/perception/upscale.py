"""Upscalers: convolutional nets that enlarge pictures by a whole factor (input NCHW, RGB, 0 to 1)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from charaforge.perception.session import open_session


class Upscaler:
    """An upscaler, opened once; works picture by picture, so that bytes never depend on neighbours."""

    def __init__(self, folder: Path) -> None:
        """Open ``folder``/model.onnx.

        Raises:
            ModelFileError: the file is missing or broken.
        """
        self._session = open_session(folder / "model.onnx")
        self._input = self._session.get_inputs()[0].name

    def upscale(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """Enlarge RGB pictures by the model's factor (x4 for mini-upscaler)."""
        return [self._one(image) for image in images]

    def _one(self, image: Image.Image) -> Image.Image:
        unit = np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255
        large = self._session.run(None, {self._input: np.ascontiguousarray(unit)})[0][0]
        return Image.fromarray(np.rint(large.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
