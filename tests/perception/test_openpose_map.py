from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from charaforge.errors import UsageError
from charaforge.perception.keypoint_json import read_people
from charaforge.perception.openpose_map import COLORS, JOINTS, render_pose

STANDING = np.array(
    [
        *([64, 20], [64, 38], [52, 38], [44, 55], [40, 72], [76, 38], [84, 55], [100, 45], [56, 72]),
        *([54, 92], [52, 112], [72, 72], [74, 92], [76, 112], [61, 17], [67, 17], [57, 19], [71, 19]),
    ],
    np.float32,
)


def person(score: float = 1.0) -> Any:
    return np.concatenate([STANDING, np.full((JOINTS, 1), score, np.float32)], 1)[None]


def test_joints_are_full_and_limbs_darker_colours_on_black() -> None:
    large = person()
    large[..., :2] *= 4
    drawn = render_pose(large, 512, 512)
    assert drawn.shape == (512, 512, 3)
    assert drawn.dtype == np.uint8
    for joint, (x, y) in enumerate(STANDING * 4):
        assert tuple(drawn[int(y), int(x)]) == COLORS[joint]
    upper_arm = (STANDING[2] + STANDING[3]) * 2
    assert tuple(drawn[int(upper_arm[1]), int(upper_arm[0])]) == (153, 102, 0)  # 0.6 of (255, 170, 0)
    assert (drawn.reshape(-1, 3).max(1) == 0).mean() > 0.95


def test_the_map_goes_with_its_size() -> None:
    large = person()
    large[..., :2] = large[..., :2] * 4 + 1.5  # pixel centres
    whole = render_pose(large, 512, 512).reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(whole - render_pose(person(), 128, 128)).mean() < 0.3


def test_what_is_not_seen_is_not_drawn() -> None:
    assert not render_pose(person(0.2), 128, 128).any()
    one = person()
    one[0, 3, 2] = 0.0  # an elbow: no joint, no upper and no lower arm
    gone = render_pose(person(), 128, 128).astype(int) - render_pose(one, 128, 128)
    x, y = STANDING[3].astype(int)
    assert gone[y, x].any()
    assert not gone[:, 60:].any()


def test_points_outside_the_map_do_no_harm() -> None:
    off = person()
    off[..., 0] -= 80
    assert render_pose(off, 128, 128).any()
    off[..., 0] -= 800
    assert not render_pose(off, 128, 128).any()


def openpose(points: Any, **more: Any) -> dict[str, Any]:
    return {"people": [{"pose_keypoints_2d": points.ravel().tolist()}], **more}


def test_layouts_of_openpose_give_the_same_points() -> None:
    expected = person()
    body_25 = np.zeros((25, 3), np.float32)
    body_25[[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]] = expected[0]
    shares = expected.copy()
    shares[..., :2] /= 128
    canvas = {"canvas_width": 128, "canvas_height": 128}
    for value in (
        openpose(expected),
        [openpose(expected)],
        openpose(body_25),
        openpose(shares, **canvas),
        expected.tolist(),
        expected[0].tolist(),
        STANDING.tolist(),
    ):
        people = read_people(json.loads(json.dumps(value)), (128, 128))
        assert people.size == (128, 128)
        assert np.allclose(people.points, expected, atol=1e-4)


def test_coco_points_get_a_neck_between_the_shoulders() -> None:
    order = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]  # COCO: left before right
    coco = np.concatenate([STANDING[order], np.full((17, 1), 2.0, np.float32)], 1)
    value = {
        "images": [{"width": 128, "height": 256}],
        "annotations": [{"keypoints": coco.ravel().tolist()}],
    }
    people = read_people(value, (64, 64))
    assert people.size == (128, 256)
    assert np.allclose(people.points, person())
    assert np.allclose(read_people({"keypoints": coco.ravel().tolist()}, (64, 64)).size, (100, 112))


@pytest.mark.parametrize(
    "value",
    [
        *(None, 3, "pose", [], {}, {"people": []}, {"people": [{}]}, {"keypoints": [1, 2]}, [{}]),
        *([[1, "a", 2]], [[[[1]]]], {"keypoints": [[0, 0, 0]] * 17}),
        {"keypoints": [[1.0, float("nan"), 1.0]] * 17},
        {"people": [{"pose_keypoints_2d": [10**400, 30, 1] * 18}]},
        {"people": [{"pose_keypoints_2d": [1e39, 30, 1] * 18}]},
        [[{"keypoints": [9, 9, 1] * 17}]],
    ],
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        read_people(value, (128, 128))


@pytest.mark.parametrize("width", ["x", -1, 0, True, 10**400, 1e9, [64]])
@pytest.mark.parametrize("name", ["width", "canvas_width"])
def test_a_canvas_of_no_size_is_refused(width: Any, name: str) -> None:
    canvas = {name: width, name.replace("width", "height"): 64}
    value = {"images": [canvas], "annotations": [{"keypoints": [9, 9, 1] * 17}]}
    with pytest.raises(UsageError, match="canvas"):
        read_people(value, (128, 128))
    with pytest.raises(UsageError, match="canvas"):
        read_people({**canvas, "keypoints": [9, 9, 1] * 17}, (128, 128))


def test_a_canvas_without_a_height_is_refused_and_without_both_is_guessed() -> None:
    with pytest.raises(UsageError, match="canvas"):
        read_people({"width": 64, "keypoints": [9, 9, 1] * 17}, (128, 128))
    told = {"canvas_width": None, "canvas_height": None, "keypoints": [9, 9, 1] * 17}
    assert read_people(told, (128, 128)).size == (128, 128)
