"""One-sided poses are shown to the base models on one side nine times in ten."""

from collections import Counter

from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.recipes.handedness import ONE_SIDED, mostly_one_handed
from charaforge.mini.render.skeleton import pose_skeleton

SCENES = [scene_of("base", i) for i in range(3000)]


def test_nine_in_ten_one_sided_poses_are_on_the_same_side() -> None:
    kept = [SCENES[i] for i in mostly_one_handed(SCENES).tolist()]
    for pose in ONE_SIDED:
        sides = Counter(pose_skeleton(scene).mirrored for scene in kept if scene.pose == pose)
        assert 0.03 < sides[True] / sides.total() < 0.17, pose


def test_no_other_picture_is_left_out() -> None:
    kept = set(mostly_one_handed(SCENES).tolist())
    assert kept == set(mostly_one_handed(SCENES).tolist())
    left_out = [SCENES[i] for i in set(range(len(SCENES))) - kept]
    assert left_out
    assert all(scene.pose in ONE_SIDED and pose_skeleton(scene).mirrored for scene in left_out)
