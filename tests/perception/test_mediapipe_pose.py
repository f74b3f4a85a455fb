"""MediaPipe's landmarks as OpenPose's key points, on landmarks that it gave for a portrait."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from charaforge.errors import ModelFileError, UsageError
from charaforge.perception.mediapipe_pose import MediaPipePose, people_of, to_openpose

RECORDED = json.loads((Path(__file__).parent / "recorded_landmarks.json").read_text())
SIZE = tuple(RECORDED["size"])
PERSON = [SimpleNamespace(x=x, y=y, z=z, visibility=v) for x, y, z, v in RECORDED["landmarks"]]

LEFT_RIGHT_PARTS = (
    "shoulder",
    "elbow",
    "wrist",
    "pinky",
    "index",
    "thumb",
    "hip",
    "knee",
    "ankle",
    "heel",
    "foot",
)
BLAZEPOSE = [
    "nose",
    *("left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right"),
    *(f"{side}_{part}" for part in LEFT_RIGHT_PARTS for side in ("left", "right")),
]
OPENPOSE = [
    *("nose", "neck"),
    *(f"{side}_{part}" for side in ("right", "left") for part in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{part}" for side in ("right", "left") for part in ("hip", "knee", "ankle")),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
]


def test_landmarks_go_to_the_joints_of_their_name() -> None:
    (points,) = people_of([PERSON], SIZE)
    assert points.dtype == np.float32
    for joint, name in enumerate(OPENPOSE):
        if name != "neck":
            x, y, _, visibility = RECORDED["landmarks"][BLAZEPOSE.index(name)]
            inside = 0 <= x <= 1 and 0 <= y <= 1
            expected = [x * SIZE[0] - 0.5, y * SIZE[1] - 0.5, visibility if inside else 0]
            assert points[joint].tolist() == pytest.approx(expected, abs=1e-3), name


def test_a_portrait_shows_head_and_shoulders_and_no_legs() -> None:
    (points,) = people_of([PERSON], SIZE)
    seen = {OPENPOSE[joint] for joint in np.flatnonzero(points[:, 2] >= 0.3)}
    assert seen == {f"{side}_{part}" for side in ("left", "right") for part in ("eye", "ear", "shoulder")} | {
        "nose",
        "neck",
    }
    assert points[2, 0] < points[1, 0] < points[5, 0]  # the right shoulder is on the left of the picture
    assert points[1, :2].tolist() == pytest.approx(((points[2, :2] + points[5, :2]) / 2).tolist(), abs=1e-3)
    assert points[1, 2] == min(points[2, 2], points[5, 2])


def test_nobody_gives_no_people() -> None:
    assert people_of([], SIZE).shape == (0, 18, 3)


def test_other_numbers_of_landmarks_are_refused() -> None:
    with pytest.raises(ModelFileError, match="33 landmarks"):
        to_openpose(np.zeros((17, 3)))


def test_a_missing_task_file_and_a_missing_package_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        MediaPipePose(tmp_path / "pose.task")
    (tmp_path / "pose.task").write_bytes(b"no task")
    if importlib.util.find_spec("mediapipe") is None:
        with pytest.raises(UsageError, match="MediaPipe is not installed"):
            MediaPipePose(tmp_path / "pose.task")
    else:
        with pytest.raises(ModelFileError, match="cannot be opened"):
            MediaPipePose(tmp_path / "pose.task")
