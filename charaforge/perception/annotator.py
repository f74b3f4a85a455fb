"""Annotators: nets that draw the depth and the line art of a picture.

Format: ``model.onnx`` takes "image", float32 NCHW, RGB, 0 to 1, sides a multiple of 8, and gives "depth" and
"lineart", float32 (N, 1, H, W), 0 to 1: depth 1 = near, lines 1 = line.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.session import open_session

STEP = 8


class Annotator:
    """An annotator, opened once; works picture by picture."""

    def __init__(self, folder: Path) -> None:
        """Open ``folder``/model.onnx.

        Raises:
            ModelFileError: the file is missing, broken, or has no output of this format.
        """
        self._session = open_session(folder / "model.onnx")
        self._input = self._session.get_inputs()[0].name
        self._outputs = {output.name for output in self._session.get_outputs()}
        if not self._outputs & {"depth", "lineart"}:
            raise ModelFileError(f"{folder} gives {sorted(self._outputs)}", "depth or lineart is needed")

    def draw(self, kind: str, image: Image.Image) -> Image.Image:
        """Return the map of a picture, mode L, of its size.

        Args:
            kind: "depth" or "lineart".
            image: any size and mode.

        Raises:
            ModelFileError: this annotator does not draw that.
        """
        if kind not in self._outputs:
            raise ModelFileError(
                f"this annotator draws {sorted(self._outputs)}, not {kind}", "choose another"
            )
        rgb = image.convert("RGB")
        sides = [max(STEP, round(side / STEP) * STEP) for side in rgb.size]
        stepped = rgb.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
        unit = np.asarray(stepped, np.float32).transpose(2, 0, 1)[None] / 255
        drawn = self._session.run([kind], {self._input: np.ascontiguousarray(unit)})[0][0, 0]
        map_of = Image.fromarray(np.rint(drawn.clip(0, 1) * 255).astype(np.uint8))
        return map_of.resize(rgb.size, Image.Resampling.BILINEAR)
