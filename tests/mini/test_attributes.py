import random
from dataclasses import replace

import numpy as np
import pytest

from charaforge.mini import world
from charaforge.mini.attributes import GROUPS, agreement, decide, truth
from charaforge.mini.measure.tagger import macro_f1
from charaforge.mini.scenes import Scene, all_tags, sample_scene, scene_tags
from charaforge.perception.wd14 import TagScores

NAMES = all_tags()


def perfect(scenes: list[Scene]) -> np.ndarray:
    rows = np.zeros((len(scenes), len(NAMES)), np.float32)
    for row, scene in zip(rows, scenes, strict=True):
        row[[NAMES.index(tag) for tag in scene_tags(scene)]] = 1
    return rows


@pytest.fixture
def scenes() -> list[Scene]:
    rng = random.Random(0)
    return [sample_scene(rng) for _ in range(200)]


def test_exact_tags_are_read_back_exactly(scenes: list[Scene]) -> None:
    found = decide(perfect(scenes), NAMES)
    assert agreement(scenes, found) == dict.fromkeys(GROUPS, 1.0)


def test_underscored_names_are_the_same_names(scenes: list[Scene]) -> None:
    underscored = [name.replace(" ", "_") for name in NAMES]
    assert decide(perfect(scenes), underscored) == decide(perfect(scenes), NAMES)


def test_no_accessory_is_decided_where_none_is_probable(scenes: list[Scene]) -> None:
    bare = replace(scenes[0], accessory="none")
    probabilities = perfect([bare])
    probabilities[0, NAMES.index("crown")] = 0.4
    assert decide(probabilities, NAMES)[0]["accessory"] == "none"
    probabilities[0, NAMES.index("crown")] = 0.6
    assert decide(probabilities, NAMES)[0]["accessory"] == "crown"


def test_closed_eyes_are_not_judged_by_colour(scenes: list[Scene]) -> None:
    closed = [replace(s, expression="closed eyes") for s in scenes]
    assert "eyes" not in truth(closed[0])
    assert "eyes" not in agreement(closed, decide(perfect(closed), NAMES))


def test_a_wrong_group_counts_alone(scenes: list[Scene]) -> None:
    other = [replace(s, pose=world.POSES[(world.POSES.index(s.pose) + 1) % 10]) for s in scenes]
    shares = agreement(other, decide(perfect(scenes), NAMES))
    assert shares.pop("pose") == 0
    assert set(shares.values()) == {1.0}


def test_a_foreign_tagger_is_refused(scenes: list[Scene]) -> None:
    with pytest.raises(ValueError, match="does not know"):
        decide(np.zeros((1, 2)), ["1girl", "solo"])


def test_macro_f1_is_the_mean_of_hand_counted_scores(scenes: list[Scene]) -> None:
    rows = perfect(scenes)
    rows[:50, NAMES.index("chibi")] = 0  # recall 150/200: F1 = 2 * 150 / (150 + 200)
    score = macro_f1(TagScores(rows, tuple(NAMES), (0,) * len(NAMES)), scenes)
    assert score == pytest.approx((len(NAMES) - 1 + 300 / 350) / len(NAMES))
