"""Pose estimators with SimCC heads (RTMPose, DWPose layout): one coordinate distribution per axis and joint.

Format: input float32 NCHW, RGB, (x - mean) / std with mmpose's numbers; outputs ``simcc_x`` (N, K, W * 2) and
``simcc_y`` (N, K, H * 2). A coordinate is the position of the maximum divided by 2; the score is the smaller
of the two maxima (DWPose's rule). K is 18 (OpenPose order) or 133 (COCO-WholeBody, converted to the 18).

A person's box is enlarged by 1.25, widened or heightened to the input's aspect and warped to it (bilinear,
black outside of the picture); without a box the whole picture is fitted in, black around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches, run_padded
from charaforge.perception.flatten import on_white
from charaforge.perception.session import only_model, open_session

MMPOSE_MEAN = (123.675, 116.28, 103.53)
MMPOSE_STD = (58.395, 57.12, 57.375)
OPENPOSE_JOINTS = 18
_WHOLEBODY_JOINTS = 133
PREPROC_ID = "simcc"
BOX_PADDING = 1.25
_SPLIT = 2
_NECK = -1
_OPENPOSE_FROM_COCO = (0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_LEFT_SHOULDER, _RIGHT_SHOULDER = 5, 6
_NOBODY = np.zeros((0, OPENPOSE_JOINTS, 3), np.float32)
_Asked = tuple[Image.Image, npt.NDArray[np.float32] | None]


class PoseEstimator:
    """A top-down SimCC pose estimator, opened once."""

    preproc_id = PREPROC_ID

    def __init__(self, folder: Path) -> None:
        """Open ``folder``/model.onnx, or the only ONNX file in the folder.

        Raises:
            ModelFileError: the file is missing, broken, or has neither 18 nor 133 joints.
        """
        self._session = open_session(only_model(folder))
        first = self._session.get_inputs()[0]
        self._input = first.name
        self._batch = first.shape[0] if isinstance(first.shape[0], int) else None
        self._height, self._width = int(first.shape[2]), int(first.shape[3])
        joints = self._session.get_outputs()[0].shape[1]
        if joints not in (OPENPOSE_JOINTS, _WHOLEBODY_JOINTS):
            raise ModelFileError(f"{folder} gives {joints} joints", "SimCC models with 18 or 133 joints work")

    def estimate(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Take each whole picture as the one person's box.

        Returns:
            Key points float32 (N, 18, 3): x, y in pixels of each picture, and the score (< 0.3: not seen).
        """
        return np.stack(found) if (found := self._run([(image, None) for image in images])) else _NOBODY

    def estimate_people(
        self, images: Sequence[Image.Image], boxes: Sequence[npt.NDArray[np.float32]]
    ) -> list[npt.NDArray[np.float32]]:
        """Key points of everybody that a detector found.

        Args:
            images: N pictures.
            boxes: for each the people, (K, 4 or 5): left, top, right, bottom in pixels. Where there are none,
                the whole picture is taken as one person's box: detectors miss half bodies and busts.

        Returns:
            One float32 (max(K, 1), 18, 3) per picture, people in the order of their boxes.
        """
        asked: list[_Asked] = []
        for image, found in zip(images, boxes, strict=True):
            asked += [(image, box) for box in found] if len(found) else [(image, None)]
        points = iter(self._run(asked))
        return [np.stack([next(points) for _ in range(max(len(found), 1))]) for found in boxes]

    def _run(self, asked: Sequence[_Asked]) -> list[npt.NDArray[np.float32]]:
        """Return (18, 3) for each picture and box."""
        size, found = (self._width, self._height), []
        for group in batches(asked):
            pixels = np.stack([prepare(i, *size) if b is None else crop(i, b, *size) for i, b in group])
            x, y = run_padded(self._session, ["simcc_x", "simcc_y"], {self._input: pixels}, self._batch)
            for one, (image, box) in zip(to_openpose(decode(x, y)), group, strict=True):
                back = _to_picture(one[:, :2], image.size, size) if box is None else _uncrop(one, box, size)
                found.append(np.concatenate([back, one[:, 2:]], 1))
        return found


def prepare(image: Image.Image, width: int, height: int) -> npt.NDArray[np.float32]:
    """Fit the whole picture into (height, width) without distortion, black around it; float32 (3, H, W)."""
    fitted = on_white(image)
    scale, (left, top) = _placement(image.size, (width, height))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGB", (width, height))
    if size != fitted.size:
        fitted = fitted.resize(size, Image.Resampling.BILINEAR)
    canvas.paste(fitted, (round(left), round(top)))
    return _normalised(np.asarray(canvas, np.float32))


def crop(
    image: Image.Image, box: npt.NDArray[np.float32], width: int, height: int
) -> npt.NDArray[np.float32]:
    """Warp the surroundings of a box (left, top, right, bottom, px) to the input; float32 (3, H, W)."""
    import cv2

    left, top, scale = _window(box, (width, height))
    to_input = np.array([[1 / scale, 0, -left / scale], [0, 1 / scale, -top / scale]])
    warped = cv2.warpAffine(np.asarray(on_white(image)), to_input, (width, height), flags=cv2.INTER_LINEAR)
    return _normalised(np.asarray(warped, np.float32))


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


def _normalised(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(H, W, 3), RGB, 0 to 255, to (3, H, W) with mmpose's mean and deviation."""
    mean, std = np.asarray(MMPOSE_MEAN, np.float32), np.asarray(MMPOSE_STD, np.float32)
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))


def _window(box: npt.NDArray[np.float32], size: tuple[int, int]) -> tuple[float, float, float]:
    """Return left and top of what is seen of the picture, and picture pixels per input pixel."""
    left, top, right, bottom = (float(value) for value in box[:4])
    width = max((right - left) * BOX_PADDING, (bottom - top) * BOX_PADDING * size[0] / size[1], 1.0)
    scale = width / size[0]
    return (left + right) / 2 - width / 2, (top + bottom) / 2 - scale * size[1] / 2, scale


def _uncrop(
    points: npt.NDArray[np.float32], box: npt.NDArray[np.float32], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    left, top, scale = _window(box, size)
    return np.asarray(points[:, :2] * scale + np.asarray([left, top]), np.float32)


def _placement(size: tuple[int, int], box: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    scale = min(box[0] / size[0], box[1] / size[1])
    return scale, ((box[0] - size[0] * scale) / 2, (box[1] - size[1] * scale) / 2)


def _to_picture(
    points: npt.NDArray[np.float32], size: tuple[int, int], box: tuple[int, int]
) -> npt.NDArray[np.float32]:
    scale, (left, top) = _placement(size, box)
    return np.asarray((points - np.asarray([round(left), round(top)], np.float32)) / scale, np.float32)
