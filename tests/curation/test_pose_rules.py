import random

import numpy as np
import numpy.typing as npt
import pytest

from charaforge.curation.pose_rules import POSE_TAGS, UNKNOWN, main_person, pose_of
from charaforge.mini.render.skeleton import pose_skeleton
from charaforge.mini.scenes import Scene, sample_scene

Points = npt.NDArray[np.float32]
FRONT = {0: (0, -30), 14: (-4, -33), 15: (4, -33), 16: (-9, -32), 17: (9, -32)}
ARMS_DOWN = ((-5, -3), (5, 3))
LEGS_DOWN = ((-4, -1), (4, 1))


def _figure(
    arms: tuple[tuple[float, float], ...] = ARMS_DOWN,
    legs: tuple[tuple[float, float], ...] = LEGS_DOWN,
    hidden: tuple[int, ...] = (),
    turned: float = 0.0,
) -> Points:
    """A slender figure; angles of upper and lower limbs in degrees, the person's right first."""
    points = np.zeros((18, 3), np.float32)
    points[:, 2] = 0.9
    points[1, :2] = (0, -18)
    for joint, place in FRONT.items():
        points[joint, :2] = place
    for joint, start, angles, length in (
        (2, (-10, -18), arms[0], 16),
        (5, (10, -18), arms[1], 16),
        (8, (-6, 30), legs[0], 26),
        (11, (6, 30), legs[1], 26),
    ):
        points[joint, :2] = start
        for step, angle in enumerate(np.radians(angles), start=joint + 1):
            points[step, :2] = points[step - 1, :2] + length * np.array([np.sin(angle), np.cos(angle)])
    turn = np.radians(turned)
    points[:, :2] = points[:, :2] @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points[list(hidden), 2] = 0.1
    return points


def _from_behind(figure: Points) -> Points:
    turned = figure.copy()
    turned[:, 0] *= -1
    turned[[0, 14, 15], 2] = 0.05
    return turned


@pytest.mark.parametrize(
    ("tag", "figure"),
    [
        ("standing", _figure()),
        ("arms up", _figure(((-160, -170), (160, 170)))),
        ("arm up", _figure(((-5, -3), (165, 172)))),
        ("waving", _figure(((-110, -150), (5, 3)))),
        ("pointing", _figure(((-5, -3), (88, 92)))),
        ("spread arms", _figure(((-90, -95), (85, 90)))),
        ("hands on hips", _figure(((-50, 50), (50, -50)))),
        ("sitting", _figure(legs=((-75, -5), (75, 5)))),
        ("sitting", _figure(((-160, -170), (160, 170)), ((80, 5), (75, 0)))),
        ("squatting", _figure(legs=((-110, -5), (110, 5)))),
        ("kneeling", _figure(legs=((-10, -85), (10, 85)))),
        ("running", _figure(((-50, 30), (50, 130)), ((-30, -95), (45, 10)))),
        ("jumping", _figure(((-110, -120), (110, 120)), ((-40, -100), (40, 20)))),
        ("standing on one leg", _figure(legs=((-2, 0), (60, -60)))),
        ("lying", _figure(turned=85)),
        ("from behind", _from_behind(_figure())),
        ("arms up", _from_behind(_figure(((-160, -170), (160, 170))))),
        (UNKNOWN, _figure(hidden=(9, 10, 12, 13))),
        (UNKNOWN, np.zeros((18, 3), np.float32)),
    ],
)
def test_poses_get_their_word(tag: str, figure: Points) -> None:
    assert pose_of(figure).tag == tag


def test_mirrored_figures_get_the_same_word() -> None:
    figure = _figure(((-5, -3), (88, 92)))
    figure[:, 0] *= -1
    figure[[2, 3, 4, 5, 6, 7]] = figure[[5, 6, 7, 2, 3, 4]]
    assert pose_of(figure).tag == "pointing"


def test_views_are_told() -> None:
    assert pose_of(_figure()).view == "front"
    assert pose_of(_from_behind(_figure())).view == "behind"
    assert pose_of(_figure(hidden=(15, 17))).view == "side"
    assert pose_of(_figure(hidden=(1,))).view == ""


def test_the_score_is_the_mean_of_the_limbs_that_are_seen() -> None:
    assert pose_of(_figure(hidden=(9, 10, 12, 13))).score == pytest.approx(0.9)


def test_size_and_place_of_a_figure_do_not_count() -> None:
    figure = _figure(((-50, 50), (50, -50)))
    figure[:, :2] = figure[:, :2] * 7.5 + 300
    assert pose_of(figure).tag == "hands on hips"


def test_the_largest_person_counts() -> None:
    small, large = _figure(), _figure()
    small[:, :2] /= 3
    assert main_person(np.stack([small, large, small])) == 1


def _decidable(scene: Scene) -> bool:
    """An upper body that stands with hanging arms shows no legs: the rules say unknown, not standing."""
    return not (scene.pose == "standing" and scene.framing == "upper body")


def test_poses_of_the_mini_world_are_told_from_its_own_joints() -> None:
    scenes = [sample_scene(random.Random(f"pose rules {index}")) for index in range(600)]
    told = [(scene, pose_of(pose_skeleton(scene).keypoints()).tag) for scene in scenes]
    assert {tag for _, tag in told} <= set(POSE_TAGS)
    assert {tag for scene, tag in told if not _decidable(scene)} == {UNKNOWN}
    hits = [scene.pose == tag for scene, tag in told if _decidable(scene)]
    assert np.mean(hits) >= 0.99
