"""Target poses: which file belongs to which prompt, and where its joints are."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.errors import NotMeasurableError, UnknownNameError, UsageError
from charaforge.evaluation.metrics.joints import SEEN
from charaforge.evaluation.poses import assign_poses, read_target
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.mini.render import keypoints, render
from charaforge.mini.scenes import sample_scene
from charaforge.perception.openpose_map import render_pose
from charaforge.perception.openpose_reading import points_of_map
from charaforge.perception.simcc import PoseEstimator
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

SCENE = replace(sample_scene(random.Random(3)), pose="arms up", framing="full body")


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return PoseEstimator(Registry(Warehouse(Path("/nowhere"))).get("mini-pose", "pose").path)


def prompt(name: str, *tags: str, pose: str = "") -> EvalPrompt:
    return EvalPrompt(id=name, prompt="[character]", expected_tags=tags, group="g", pose=pose)


def drawn(side: int) -> tuple[np.ndarray, Image.Image]:
    points = keypoints(SCENE) * np.array([side / 128, side / 128, 1], np.float32)
    return points, Image.fromarray(render_pose(points[None], side, side))


def test_joints_are_read_off_a_map() -> None:
    points, picture = drawn(512)
    found = points_of_map(picture)
    there = points[:, 2] >= SEEN
    assert ((found[:, 2] > 0) == there).all()
    assert np.abs(found[there, :2] - points[there, :2]).max() < 1.5
    assert points_of_map(Image.new("RGB", (64, 64)))[:, 2].sum() == 0


def test_json_map_and_picture_give_the_same_joints(tmp_path: Path, estimator: PoseEstimator) -> None:
    points, picture = drawn(512)
    picture.save(tmp_path / "a.png")
    people = [{"pose_keypoints_2d": points.ravel().tolist()}]
    told = {"canvas_width": 512, "canvas_height": 512, "people": people}
    (tmp_path / "a.json").write_text(json.dumps(told), encoding="utf-8")
    Image.fromarray(render(SCENE)).save(tmp_path / "b.png")
    by_json, by_map, by_picture = (
        read_target(tmp_path / name, 128, estimator) for name in ("a.json", "a.png", "b.png")
    )
    there = by_json[:, 2] >= SEEN
    assert np.abs(by_map[there, :2] - by_json[there, :2]).max() < 1
    assert np.median(np.abs(by_picture[there, :2] - by_json[there, :2])) < 2


def test_what_holds_no_pose(tmp_path: Path, estimator: PoseEstimator) -> None:
    Image.fromarray(render_pose(np.zeros((1, 18, 3), np.float32), 64, 64)).save(tmp_path / "empty.png")
    nobody = {"people": [{"pose_keypoints_2d": [10, 10, 1] + [0] * 51}]}
    (tmp_path / "one.json").write_text(json.dumps(nobody), encoding="utf-8")
    with pytest.raises(NotMeasurableError, match=r"one\.json"):
        read_target(tmp_path / "one.json", 128, estimator)
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.json"):
        read_target(tmp_path / "bad.json", 128, estimator)


def test_prompts_get_the_pose_they_name_else_one_of_a_tag_else_one_in_turn(tmp_path: Path) -> None:
    for name in ("arms_up.png", "other.json", "running_2.png"):
        (tmp_path / name).touch()
    prompts = [
        prompt("a", pose="other"),
        prompt("b", "arms up"),
        prompt("c", "running"),
        prompt("d", "smile"),
    ]
    assert {k: v.name for k, v in assign_poses(prompts, tmp_path, unread).items()} == {
        "a": "other.json",
        "b": "arms_up.png",
        "c": "running_2.png",
        "d": "arms_up.png",
    }


def test_of_several_poses_the_one_of_the_framing_that_was_asked_for(tmp_path: Path) -> None:
    seen = {"waving_1": range(18), "waving_2": range(8), "waving_3": (*range(10), 11, 12)}
    for name in seen:
        (tmp_path / f"{name}.json").touch()
    (tmp_path / "waving_0.json").touch()  # cannot be read: never chosen where another one fits

    def read(path: Path) -> np.ndarray:
        if path.stem not in seen:
            raise UsageError("no pose", "give another")
        points = np.zeros((18, 3), np.float32)
        points[list(seen[path.stem]), 2] = 1
        return points

    prompts = [
        prompt("a", "waving", "full body"),
        prompt("b", "waving", "upper body"),
        prompt("c", "waving", "cowboy shot"),
        prompt("d", "running", "full body"),
    ]
    found = assign_poses(prompts, tmp_path, read)
    assert [path.stem for path in found.values()] == ["waving_1", "waving_2", "waving_3", "waving_1"]
    (tmp_path / "waving_1.json").unlink()
    assert assign_poses(prompts[:1], tmp_path, read)["a"].stem == "waving_0", (
        "the tag goes before the framing"
    )


def unread(path: Path) -> np.ndarray:
    raise AssertionError(f"{path} need not be read")


def test_poses_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        assign_poses([prompt("a")], tmp_path / "nowhere", unread)
    with pytest.raises(NotMeasurableError, match="holds no poses"):
        assign_poses([prompt("a")], tmp_path, unread)
    (tmp_path / "running.png").touch()
    with pytest.raises(UnknownNameError, match="'runing'"):
        assign_poses([prompt("a", pose="runing")], tmp_path, unread)
