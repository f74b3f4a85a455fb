"""Pose estimators with SimCC heads (RTMPose, DWPose layout): one coordinate distribution per axis and joint.

Format: input float32 NCHW, RGB, (x - mean) / std with mmpose's numbers; outputs ``simcc_x`` (N, K, W * 2) and
``simcc_y`` (N, K, H * 2). A coordinate is the position of the maximum divided by 2; the score is the smaller
of the two maxima (DWPose's rule). K is 18 (OpenPose order) or 133 (COCO-WholeBody, converted to the 18).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches
from charaforge.perception.session import open_session

MMPOSE_MEAN = (123.675, 116.28, 103.53)
MMPOSE_STD = (58.395, 57.12, 57.375)
OPENPOSE_JOINTS = 18
_WHOLEBODY_JOINTS = 133
_SPLIT = 2
_NECK = -1
_OPENPOSE_FROM_COCO = (0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_LEFT_SHOULDER, _RIGHT_SHOULDER = 5, 6


class PoseEstimator:
    """A top-down SimCC pose estimator that takes the whole picture as the person's box."""

    def __init__(self, folder: Path) -> None:
        """Open ``folder``/model.onnx.

        Raises:
            ModelFileError: the file is missing, broken, or has neither 18 nor 133 joints.
        """
        self._session = open_session(folder / "model.onnx")
        first = self._session.get_inputs()[0]
        self._input = first.name
        self._height, self._width = int(first.shape[2]), int(first.shape[3])
        joints = self._session.get_outputs()[0].shape[1]
        if joints not in (OPENPOSE_JOINTS, _WHOLEBODY_JOINTS):
            raise ModelFileError(f"{folder} gives {joints} joints", "SimCC models with 18 or 133 joints work")

    def estimate(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Key points float32 (N, 18, 3): x, y in pixels of each picture, and the score (< 0.3: not seen)."""
        parts = [np.zeros((0, OPENPOSE_JOINTS, 3), np.float32)]
        for group in batches(images):
            pixels = np.stack([prepare(image, self._width, self._height) for image in group])
            x, y = self._session.run(["simcc_x", "simcc_y"], {self._input: pixels})
            points = to_openpose(decode(x, y))
            for one, image in zip(points, group, strict=True):
                one[:, :2] = _to_picture(one[:, :2], image.size, (self._width, self._height))
            parts.append(points)
        return np.concatenate(parts)


def prepare(image: Image.Image, width: int, height: int) -> npt.NDArray[np.float32]:
    """Fit the whole picture into (height, width) without distortion, black around it; float32 (3, H, W)."""
    fitted = image.convert("RGB")
    scale, (left, top) = _placement(image.size, (width, height))
    size = (round(image.width * scale), round(image.height * scale))
    canvas = Image.new("RGB", (width, height))
    if size != fitted.size:
        fitted = fitted.resize(size, Image.Resampling.BILINEAR)
    canvas.paste(fitted, (round(left), round(top)))
    normalised = (np.asarray(canvas, np.float32) - np.asarray(MMPOSE_MEAN, np.float32)) / np.asarray(
        MMPOSE_STD, np.float32
    )
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def decode(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """SimCC distributions (N, K, 2W) and (N, K, 2H) to (N, K, 3): x, y in input pixels, score."""
    score = np.minimum(x.max(2), y.max(2))
    return np.stack([x.argmax(2) / _SPLIT, y.argmax(2) / _SPLIT, score], 2).astype(np.float32)


def to_openpose(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, 133, 3) in COCO-WholeBody order to (N, 18, 3) in OpenPose order; 18 points pass unchanged.

    The neck is the middle of the shoulders, with the lower of their scores.
    """
    if points.shape[1] == OPENPOSE_JOINTS:
        return points
    shoulders = points[:, [_LEFT_SHOULDER, _RIGHT_SHOULDER]]
    neck = np.concatenate([shoulders[..., :2].mean(1), shoulders[..., 2].min(1)[:, None]], 1)
    with_neck = np.concatenate([points, neck[:, None]], 1)
    return np.ascontiguousarray(with_neck[:, list(_OPENPOSE_FROM_COCO)])


def _placement(size: tuple[int, int], box: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    scale = min(box[0] / size[0], box[1] / size[1])
    return scale, ((box[0] - size[0] * scale) / 2, (box[1] - size[1] * scale) / 2)


def _to_picture(
    points: npt.NDArray[np.float32], size: tuple[int, int], box: tuple[int, int]
) -> npt.NDArray[np.float32]:
    scale, (left, top) = _placement(size, box)
    return np.asarray((points - np.asarray([round(left), round(top)], np.float32)) / scale, np.float32)
