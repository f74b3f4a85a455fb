"""People in pictures, by a YOLOX detector (the format that DWPose and RTMPose are published with).

Format: float32 NCHW, BGR, 0 to 255, not normalised; the picture in the upper left corner (bilinear, aspect
kept), 114 beside and below it. Out come either raw predictions (N, A, 5 + classes) on grids of strides 8, 16
and 32 – box = (xy + cell) * stride, exp(wh) * stride; score = object * class, class 0 is a person – or, from
exports that end with suppression, ``dets`` (N, K, 5), two corners in pixels of the input and a score, and
maybe ``labels`` (N, K).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches, run_padded
from charaforge.perception.flatten import on_white
from charaforge.perception.session import only_model, open_session

PREPROC_ID = "yolox"
CONFIDENCE, OVERLAP = 0.3, 0.45
"""Least score of a person; boxes that share more than this (intersection over union) are one person."""
_STRIDES = (8, 16, 32)
_GREY = 114
_PERSON = 5  # column of the first class

Boxes = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]


class PersonDetector:
    """A detector, opened once.

    Args:
        path: its ONNX file, or the folder that holds it.
        confidence: least score of a person, 0 to 1.
        overlap: intersection over union from which on two boxes are one person, 0 to 1.

    Raises:
        ModelFileError: the file is missing, broken, or of another format.
    """

    preproc_id = PREPROC_ID

    def __init__(self, path: Path, confidence: float = CONFIDENCE, overlap: float = OVERLAP) -> None:
        self._session = open_session(only_model(path))
        first = self._session.get_inputs()[0]
        if len(first.shape) != 4 or first.shape[1] != 3 or not isinstance(first.shape[2], int):
            raise ModelFileError(f"{path} takes {first.shape}", "detectors of this format take (N, 3, H, W)")
        self._input, self._size = first.name, (int(first.shape[2]), int(first.shape[3]))
        self._batch = first.shape[0] if isinstance(first.shape[0], int) else None
        names = [output.name for output in self._session.get_outputs()]
        self._outputs = ["dets", "labels"] if {"dets", "labels"} <= set(names) else names[:1]
        self._confidence, self._overlap = confidence, overlap

    def detect(self, images: Sequence[Image.Image]) -> list[Boxes]:
        """Return the people in each picture, the surest first.

        Returns:
            One float32 (K, 5) per picture: left, top, right, bottom in pixels of the picture, and the score.
        """
        found: list[Boxes] = []
        for group in batches(images):
            pixels = np.stack([prepare(image, *self._size) for image in group])
            raw = run_padded(self._session, self._outputs, {self._input: pixels}, self._batch)
            for image, *told in zip(group, *raw, strict=True):
                boxes = without_overlaps(self._decoded(*told), self._overlap)
                found.append(_in_picture(boxes, image.size, self._size))
        return found

    def _decoded(self, raw: Floats, labels: npt.NDArray[np.int64] | None = None) -> Boxes:
        if raw.ndim == 2 and raw.shape[1] == _PERSON:
            sure = raw[:, 4] >= self._confidence
            return raw[sure if labels is None else sure & (labels == 0)]
        boxes = decode(raw, *self._size)
        return boxes[boxes[:, 4] >= self._confidence]


def prepare(image: Image.Image, height: int, width: int) -> Floats:
    """Lay the picture into the upper left corner; float32 (3, height, width), BGR, 0 to 255, 114 around."""
    import cv2

    bgr = np.ascontiguousarray(np.asarray(on_white(image))[..., ::-1])
    scale = _scale(image.size, (height, width))
    size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
    canvas = np.full((height, width, 3), _GREY, np.float32)
    canvas[: size[1], : size[0]] = cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(canvas.transpose(2, 0, 1))


def decode(raw: Floats, height: int, width: int) -> Boxes:
    """Raw predictions (A, 5 + classes) to (A, 5): two corners in pixels of the input, and a person's score.

    Raises:
        ModelFileError: A is not the number of cells of grids of strides 8, 16 and 32.
    """
    cells, strides = _grid(height, width)
    if raw.ndim != 2 or len(raw) != len(cells) or raw.shape[1] <= _PERSON:
        raise ModelFileError(
            f"the detector gives {raw.shape} for {width} x {height} px, expected ({len(cells)}, 6 or more)",
            "detectors in YOLOX's layout with strides 8, 16, 32 work",
        )
    middle, half = (raw[:, :2] + cells) * strides, np.exp(raw[:, 2:4]) * strides / 2
    score = raw[:, 4:5] * raw[:, _PERSON : _PERSON + 1]
    return np.concatenate([middle - half, middle + half, score], 1)


def without_overlaps(boxes: Boxes, overlap: float) -> Boxes:
    """Keep boxes (K, 5) by falling score, each only if it shares at most `overlap` with those kept."""
    waiting = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    kept: list[Any] = []
    while len(waiting):
        kept.append(waiting[0])
        waiting = waiting[1:][_shared(waiting[0], waiting[1:]) <= overlap]
    return np.stack(kept) if kept else np.zeros((0, 5), np.float32)


def _shared(box: Boxes, others: Boxes) -> Floats:
    """Return intersection over union of a box with others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    inside = (high - low).clip(0).prod(1)
    areas = (others[:, 2:4] - others[:, :2]).prod(1)
    return np.asarray(inside / np.maximum((box[2:4] - box[:2]).prod() + areas - inside, 1e-9), np.float32)


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return the cell (x, y) and the stride of every prediction: (A, 2) and (A, 1)."""
    cells, strides = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _in_picture(boxes: Boxes, size: tuple[int, int], box: tuple[int, int]) -> Boxes:
    """Return boxes of the input as boxes of the picture, cut at its edges; empty ones are left out."""
    scaled = boxes.astype(np.float32)
    scaled[:, :4] /= _scale(size, box)
    scaled[:, [0, 2]] = scaled[:, [0, 2]].clip(0, size[0])
    scaled[:, [1, 3]] = scaled[:, [1, 3]].clip(0, size[1])
    return scaled[(scaled[:, 2:4] > scaled[:, :2]).all(1)]


def _scale(size: tuple[int, int], box: tuple[int, int]) -> float:
    return min(box[0] / size[1], box[1] / size[0])
