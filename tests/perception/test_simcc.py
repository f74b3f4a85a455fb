from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.simcc import MMPOSE_MEAN, MMPOSE_STD, PoseEstimator, decode, prepare, to_openpose

from .onnx_models import corner_pixel_simcc


def test_points_come_back_in_pixels_of_the_picture(tmp_path: Path) -> None:
    corner_pixel_simcc(tmp_path / "model.onnx", 18, 32, 32, hot_x=24, hot_y=36)
    small, wide = PoseEstimator(tmp_path).estimate([Image.new("RGB", (32, 32)), Image.new("RGB", (128, 64))])
    assert small[0].tolist() == [12, 18, pytest.approx(0.7)]
    assert wide[0, :2].tolist() == [48, 40]  # 4 px per input pixel, 8 black input rows above


def test_whole_body_models_give_the_18_openpose_points(tmp_path: Path) -> None:
    corner_pixel_simcc(tmp_path / "model.onnx", 133, 24, 32, hot_x=4, hot_y=6)
    points = PoseEstimator(tmp_path).estimate([Image.new("RGB", (24, 32))])
    assert points.shape == (1, 18, 3)
    assert points[0, 1].tolist() == [2, 3, pytest.approx(0.7)]


def test_other_joint_counts_are_refused(tmp_path: Path) -> None:
    corner_pixel_simcc(tmp_path / "model.onnx", 17, 32, 32, hot_x=1, hot_y=1)
    with pytest.raises(ModelFileError, match="gives 17 joints"):
        PoseEstimator(tmp_path)


def test_decoding_is_that_of_a_second_implementation() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 18, 64), np.float32), rng.random((2, 18, 48), np.float32)
    points = decode(x, y)
    for n in range(2):
        for k in range(18):
            best = max(range(64), key=lambda i: x[n, k, i]), max(range(48), key=lambda i: y[n, k, i])
            expected = [best[0] / 2, best[1] / 2, min(max(x[n, k]), max(y[n, k]))]
            assert points[n, k].tolist() == pytest.approx(expected)


def test_reordering_is_that_of_a_second_implementation() -> None:
    points = np.random.default_rng(0).random((2, 133, 3)).astype(np.float32)
    neck = points[:, [5, 6]].mean(1)
    neck[:, 2] = np.minimum(points[:, 5, 2], points[:, 6, 2])
    theirs = np.insert(points, 17, neck, axis=1)
    mmpose = [17, 6, 8, 10, 7, 9, 12, 14, 16, 13, 15, 2, 1, 4, 3]
    openpose = [1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17]
    theirs[:, openpose] = theirs[:, mmpose]
    assert np.allclose(to_openpose(points), theirs[:, :18])


def test_normalisation_is_rgb_with_mmpose_numbers() -> None:
    pixels = prepare(Image.new("RGB", (8, 8), (255, 128, 0)), 8, 8)[:, 0, 0]
    expected = (np.array([255, 128, 0]) - MMPOSE_MEAN) / MMPOSE_STD
    assert pixels.tolist() == pytest.approx(expected.tolist(), abs=1e-4)
