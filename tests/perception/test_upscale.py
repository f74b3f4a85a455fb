from pathlib import Path

import numpy as np
from PIL import Image

from charaforge.perception.upscale import Upscaler

from .onnx_models import nearest_by_four


def test_pixels_channels_and_range_survive(tmp_path: Path) -> None:
    nearest_by_four(tmp_path / "model.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    (large,) = Upscaler(tmp_path).upscale([Image.fromarray(pixels)])
    assert large.size == (28, 20)
    assert np.array_equal(np.asarray(large), pixels.repeat(4, 0).repeat(4, 1))


def test_bytes_do_not_depend_on_neighbours(tmp_path: Path) -> None:
    nearest_by_four(tmp_path / "model.onnx")
    one, other = Image.new("RGB", (4, 4), (9, 8, 7)), Image.new("RGB", (8, 4), (200, 1, 2))
    upscaler = Upscaler(tmp_path)
    assert upscaler.upscale([one, other])[0].tobytes() == upscaler.upscale([one])[0].tobytes()
