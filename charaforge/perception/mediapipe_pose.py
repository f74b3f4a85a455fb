"""MediaPipe's pose landmarker (Tasks API): 33 landmarks of BlazePose, given as the 18 of OpenPose.

An optional extra: ``pip install -e '.[mediapipe]'``. It brings no model; a ``pose_landmarker_*.task`` file is
given by its path. Such models were trained on photographs: on drawings a SimCC estimator sees more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError, UsageError
from charaforge.perception.flatten import on_white

PREPROC_ID = "mediapipe-tasks"
LANDMARKS = 33
_NECK = -1
_OPENPOSE_FROM_BLAZEPOSE = (0, _NECK, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
_SHOULDERS = [11, 12]

Points = npt.NDArray[np.float32]


class MediaPipePose:
    """A pose landmarker, opened once; used as a context manager it is closed at the end.

    Args:
        task: the ``.task`` file.
        people: how many are looked for, at most.

    Raises:
        ModelFileError: the file is missing or no task file.
        UsageError: the package is not installed.
    """

    preproc_id = PREPROC_ID

    def __init__(self, task: Path, people: int = 1) -> None:
        if not task.is_file():
            raise ModelFileError(f"{task} does not exist", "give the path of a pose_landmarker_*.task file")
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ModuleNotFoundError as error:
            raise UsageError(
                f"MediaPipe is not installed ({error})",
                "pip install -e '.[mediapipe]', or use another estimator",
            ) from error
        self._image = mediapipe.Image
        self._srgb = mediapipe.ImageFormat.SRGB
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(task)), num_poses=people
        )
        try:
            self._landmarker = vision.PoseLandmarker.create_from_options(options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelFileError(f"{task} cannot be opened: {error}", "fetch it again") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landmarker.close()

    def estimate_people(self, images: Sequence[Image.Image]) -> list[Points]:
        """Return float32 (P, 18, 3) per picture: x, y in pixels, score; P = 0 where nobody is seen."""
        found = []
        for image in images:
            pixels = np.ascontiguousarray(np.asarray(on_white(image)))
            told = self._landmarker.detect(self._image(image_format=self._srgb, data=pixels))
            found.append(people_of(told.pose_landmarks, image.size))
        return found


def people_of(poses: Sequence[Sequence[Any]], size: tuple[int, int]) -> Points:
    """Return what the Tasks API tells as key points.

    Args:
        poses: one list of 33 landmarks per person, with the attributes x, y (shares of the picture) and
            visibility (0 to 1).
        size: (width, height) of the picture, px.

    Returns:
        float32 (P, 18, 3), OpenPose order: x, y in pixels, pixel i having its centre at i; the score is the
        visibility, 0 outside of the picture. The neck is the middle of the shoulders, with the lower of their
        scores.
    """
    people = [to_openpose(np.array([[m.x, m.y, m.visibility or 0.0] for m in pose])) for pose in poses]
    if not people:
        return np.zeros((0, 18, 3), np.float32)
    points = np.stack(people)
    outside = ((points[..., :2] < 0) | (points[..., :2] > 1)).any(-1)
    points[..., 2] = np.where(outside, 0, points[..., 2])
    points[..., :2] = points[..., :2] * np.asarray(size) - 0.5
    return points.astype(np.float32)


def to_openpose(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """BlazePose's 33 landmarks (33, 3) to OpenPose's 18 (18, 3): x, y, score.

    Raises:
        ModelFileError: there are not 33 of them.
    """
    if landmarks.shape != (LANDMARKS, 3):
        raise ModelFileError(f"the landmarker gives {landmarks.shape}", "BlazePose has 33 landmarks")
    shoulders = landmarks[_SHOULDERS]
    neck = np.append(shoulders[:, :2].mean(0), shoulders[:, 2].min())
    return np.concatenate([landmarks, neck[None]])[list(_OPENPOSE_FROM_BLAZEPOSE)]
