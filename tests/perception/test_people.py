"""People found by a detector, and the pose of each, through the wrappers from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from charaforge.errors import ModelFileError
from charaforge.perception.detector import PersonDetector, decode, without_overlaps
from charaforge.perception.simcc import PoseEstimator

from .onnx_models import blue_cells_yolox, corner_pixel_simcc, red_cross_simcc, save


def with_patch(size: tuple[int, int], corner: tuple[int, int], side: int, color: str) -> Image.Image:
    image = Image.new("RGB", size)
    image.paste(color, (*corner, corner[0] + side, corner[1] + side))
    return image


@pytest.mark.parametrize("batch", ["n", 1])
def test_people_come_back_in_pixels_of_their_picture(tmp_path: Path, batch: int | str) -> None:
    blue_cells_yolox(tmp_path / "yolox.onnx", 64, 96, batch)
    images = [
        with_patch((192, 64), (32, 16), 16, "blue"),  # halved: cell (2, 1), and half of the input is padding
        with_patch((96, 64), (80, 48), 8, "blue"),
        with_patch((96, 64), (80, 48), 8, "red"),  # swapped channels would find it
    ]
    wide, same, red = PersonDetector(tmp_path, confidence=0.5).detect(images)
    assert wide.tolist() == [pytest.approx([32, 16, 48, 32, 1])]
    assert same.tolist() == [pytest.approx([80, 48, 88, 56, 1])]
    assert red.shape == (0, 5)


def test_decoding_is_that_of_a_second_implementation() -> None:
    raw = np.random.default_rng(0).normal(0, 1, (64 + 16 + 4, 7)).astype(np.float32)
    boxes, row = decode(raw, 64, 64), 0
    for stride in (8, 16, 32):
        for y in range(64 // stride):
            for x in range(64 // stride):
                cx, cy, w, h, seen, person, _ = raw[row].tolist()
                cx, cy, w, h = (cx + x) * stride, (cy + y) * stride, np.exp(w) * stride, np.exp(h) * stride
                expected = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, seen * person]
                assert boxes[row].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
                row += 1
    with pytest.raises(ModelFileError, match=r"expected \(84"):
        decode(raw[:80], 64, 64)


def test_of_boxes_on_one_person_the_surest_stays() -> None:
    boxes = np.array(
        [[0, 0, 10, 10, 0.5], [1, 0, 11, 10, 0.9], [5, 0, 15, 10, 0.4], [40, 0, 50, 10, 0.6]], np.float32
    )
    assert without_overlaps(boxes, 0.45)[:, 4].tolist() == pytest.approx([0.9, 0.6, 0.4])
    assert without_overlaps(boxes, 0.3)[:, 4].tolist() == pytest.approx([0.9, 0.6])


def test_exports_that_end_with_suppression_are_read(tmp_path: Path) -> None:
    from onnx import helper

    found = np.array([[[8, 8, 40, 72, 0.9], [0, 0, 9, 9, 0.1], [8, 8, 20, 20, 0.8]]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "shape"], ["column"]),
        helper.make_node("Add", ["column", "found"], ["dets"]),
        helper.make_node("Reshape", ["nothing", "row"], ["rows"]),
        helper.make_node("Add", ["rows", "kinds"], ["labels"]),
    ]
    constants = {"zero": np.float32(0), "shape": np.array([-1, 1, 1]), "found": found}
    constants |= {"row": np.array([-1, 1]), "kinds": np.array([[0, 0, 15]], np.float32)}  # 15: a cat
    outputs = {"labels": ["n", 3], "dets": ["n", 3, 5]}
    save(tmp_path / "model.onnx", nodes, ["n", 3, 64, 64], outputs, constants)
    (boxes,) = PersonDetector(tmp_path).detect([Image.new("RGB", (128, 128))])
    assert boxes.tolist() == [pytest.approx([16, 16, 80, 128, 0.9])]


def cross(size: tuple[int, int], x: int, y: int) -> Image.Image:
    image = Image.new("RGB", size, "blue")  # a swapped channel would point elsewhere
    pen = ImageDraw.Draw(image)
    pen.line((x, 0, x, size[1]), fill="red", width=5)
    pen.line((0, y, size[0], y), fill="red", width=5)
    return image


def test_each_person_is_looked_at_in_their_own_box(tmp_path: Path) -> None:
    red_cross_simcc(tmp_path / "model.onnx", 48, 64)
    left, right = cross((300, 200), 60, 80), cross((300, 200), 240, 120)
    picture = Image.new("RGB", (600, 200))
    picture.paste(left, (0, 0))
    picture.paste(right, (300, 0))
    boxes = np.array([[310, 5, 590, 195, 0.9], [10, 5, 290, 195, 0.8]], np.float32)
    (points,) = PoseEstimator(tmp_path).estimate_people([picture], [boxes])
    assert points.shape == (2, 18, 3)
    assert np.allclose(points[:, 0, :2], [[540, 120], [60, 80]], atol=8)  # 7.3 px per pixel of the input
    assert np.ptp(points, axis=1).max() == 0


def test_very_long_pictures_are_looked_at_too(tmp_path: Path) -> None:
    red_cross_simcc(tmp_path / "model.onnx", 48, 64)
    picture = Image.new("RGB", (40_000, 300), "blue")
    picture.paste(cross((300, 300), 100, 200), (35_000, 0))
    (points,) = PoseEstimator(tmp_path).estimate_people(
        [picture], [np.array([[35_010, 0, 35_290, 300, 1]], np.float32)]
    )
    assert np.allclose(points[0, 0, :2], [35_100, 200], atol=9)


def test_without_a_box_the_whole_picture_is_the_person(tmp_path: Path) -> None:
    red_cross_simcc(tmp_path / "model.onnx", 48, 64)
    estimator, nobody = PoseEstimator(tmp_path), np.zeros((0, 5), np.float32)
    images = [cross((96, 128), 20, 100), cross((96, 128), 70, 30)]
    found = estimator.estimate_people(images, [nobody, nobody])
    assert [one.shape for one in found] == [(1, 18, 3)] * 2
    assert np.allclose(np.concatenate(found)[:, 0, :2], [[20, 100], [70, 30]], atol=2)
    assert np.array_equal(np.concatenate(found), estimator.estimate(images))


def test_nobody_is_nobody(tmp_path: Path) -> None:
    corner_pixel_simcc(tmp_path / "model.onnx", 18, 32, 32, hot_x=1, hot_y=1)
    assert PoseEstimator(tmp_path).estimate([]).shape == (0, 18, 3)
    assert PoseEstimator(tmp_path).estimate_people([], []) == []
