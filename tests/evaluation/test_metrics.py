"""Each metric on numbers that can be worked out by hand."""

import numpy as np
import pytest

from charaforge.evaluation.catalogue import METRICS
from charaforge.evaluation.gates import Gates, faults
from charaforge.evaluation.metrics import (
    copying,
    diversity,
    drift,
    head_similarity,
    image_similarity,
    limb_angle,
    pose_oks,
    pose_pck,
    same_rate,
    tag_leak,
    tag_precision,
    tag_recall,
    trait_loss,
)

NAMES = ("red hoodie", "blue hair", "outdoors", "smile")


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def figure() -> np.ndarray:
    """A standing figure of 100 px, torso 40 px: (1, 18, 3)."""
    points = np.zeros((18, 3), np.float32)
    points[:, 2] = 1
    places = {0: (50, 10), 1: (50, 20), 2: (40, 20), 3: (35, 35), 4: (35, 50), 5: (60, 20), 6: (65, 35)}
    places |= {
        7: (65, 50),
        8: (45, 60),
        9: (45, 80),
        10: (45, 105),
        11: (55, 60),
        12: (55, 80),
        13: (55, 105),
    }
    places |= {14: (47, 7), 15: (53, 7), 16: (44, 8), 17: (56, 8)}
    for joint, place in places.items():
        points[joint, :2] = place
    return points[None]


def test_every_metric_says_what_it_is() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names)) == 23
    for metric in METRICS:
        assert all((metric.label, metric.unit, metric.needs, metric.meaning.endswith(".")))
        assert metric.better in ("higher", "lower", "neither")


def test_tag_recall_counts_what_was_asked_for() -> None:
    tags = np.array([[0.9, 0.1, 0.6, 0.2]], np.float32)
    assert tag_recall.recalls(tags, NAMES, [("red hoodie", "smile", "never heard of")]) == [0.5]
    assert np.isnan(tag_recall.recalls(tags, NAMES, [("never heard of",)])).all()


def test_tag_precision_counts_what_came_unasked() -> None:
    tags = np.array([[0.9, 0.9, 0.6, 0.2]], np.float32)
    vocabulary = ["red hoodie", "outdoors", "smile"]
    assert tag_precision.precisions(tags, NAMES, [("red hoodie",)], vocabulary) == [0.5], "hair is a trait"


def test_tag_leak_is_told_against_the_base_and_only_where_unasked() -> None:
    seen = np.array([[0.9, 0.9, 0.9, 0.1]] * 2, np.float32)
    base = np.array([[0.1, 0.1, 0.9, 0.1]] * 2, np.float32)
    trained = {"red hoodie": 0.6, "blue hair": 0.9, "outdoors": 0.5, "smile": 0.1}
    asked = [("red hoodie", "smile"), ("smile",)]
    leak, by_tag = tag_leak.leaks(seen, base, NAMES, asked, trained, ["blue hair"])
    assert by_tag == {"red hoodie": 1.0, "outdoors": 0.0}, "a trait is wanted, a rare tag not watched"
    assert leak.tolist() == [0.0, 0.5]


def test_diversity_is_the_distance_within_prompts() -> None:
    same, apart = unit((1, 0), (1, 0)), unit((1, 0), (0, 1))
    told = diversity.diversities(np.concatenate([same, apart]), 2)
    assert told is not None
    assert told == pytest.approx([0.0, 1.0])
    assert diversity.diversities(same, 1) is None
    bits = np.array([[0, 0, 0, 0], [0, 0, 0, 2**64 - 1]], np.uint64)
    assert diversity.hash_diversities(bits, 2) == pytest.approx([0.25])


def test_copies_by_hash_upright_and_mirrored() -> None:
    trained = np.array([[0, 0, 0, 0]], np.uint64)
    far = [2**64 - 1] * 4
    pictures = np.array([[far, far], [far, [0, 0, 0, 2**40 - 1]], [far, [0, 0, 0, 2**41 - 1]]], np.uint64)
    known = copying.Originals(trained, unit((1, 0))[:0], unit((1, 0)), 1.0)
    assert copying.copies(pictures, unit((1, 0)), known).tolist() == [False, True, False]


def test_copies_by_an_encoder_lie_beyond_what_honest_pictures_reach() -> None:
    trained, held_out = unit((1, 0)), unit((0.8, 0.6))
    none = np.full((2, 2, 4), 2**64 - 1, np.uint64)
    known = copying.originals(np.zeros((1, 4), np.uint64), trained, held_out, held_out)
    assert known.limit == pytest.approx(0.9)
    assert copying.copies(none, unit((0.95, 0.31), (0.85, 0.53)), known).tolist() == [True, False]
    assert copying.gaps(trained, known) == pytest.approx([0.2])


def test_similarities() -> None:
    references = unit((1, 0), (1, 0), (0, 1))
    assert image_similarity.image_similarities(unit((1, 0)), references) == pytest.approx([1.0])
    assert same_rate.same_rates(unit((1, 0)), references, 0.2) == pytest.approx([2 / 3])
    assert drift.drifts(unit((1, 0), (0, 1)), unit((1, 0), (1, 0))) == pytest.approx([0.0, 1.0])


def test_heads_that_are_not_found_count_as_nothing() -> None:
    lost = np.full((1, 2), np.nan, np.float32)
    references = np.concatenate([unit((1, 0), (1, 0), (1, 0)), lost])
    told = head_similarity.head_similarities(np.concatenate([unit((1, 0)), lost]), references)
    assert told is not None
    assert told == pytest.approx([1.0, 0.0])
    assert head_similarity.head_similarities(unit((1, 0)), np.repeat(lost, 4, axis=0)) is None


def test_a_pose_equals_itself() -> None:
    one = figure()
    assert pose_pck.pck_t20(one, one) == [1.0]
    assert pose_pck.pck_h5_limbs(one, one) == [1.0]
    assert pose_oks.oks(one, one) == [1.0]
    assert limb_angle.limb_angles(one, one) == [0.0]


def test_nobody_found_is_nothing_met() -> None:
    target, nobody = figure(), figure()
    nobody[..., 2] = 0
    assert pose_pck.pck_t20(nobody, target) == [0.0]
    assert pose_oks.oks(nobody, target) == [0.0]
    assert limb_angle.limb_angles(nobody, target) == [90.0]


def test_tolerances_are_those_of_their_names() -> None:
    target = figure()
    for off, within in ((7.9, 1.0), (8.1, 17 / 18)):  # a fifth of a torso of 40 px
        moved = figure()
        moved[0, 4, 0] += off
        assert pose_pck.pck_t20(moved, target) == pytest.approx([within])
    for off, within in ((4.8, 1.0), (5.0, 7 / 8)):  # a twentieth of 98 px, one of eight limb ends
        moved = figure()
        moved[0, 4, 0] += off
        assert pose_pck.pck_h5_limbs(moved, target) == pytest.approx([within])


def test_joints_that_the_target_lacks_do_not_count() -> None:
    target, found = figure(), figure()
    target[0, 4, 2] = 0
    found[0, 4, :2] += 50
    assert pose_pck.pck_t20(found, target) == [1.0]
    assert limb_angle.limb_angles(found, target) == [0.0]


def test_a_forearm_turned_by_a_right_angle() -> None:
    target, found = figure(), figure()
    found[0, 4, :2] = (50, 35)
    assert limb_angle.limb_angles(found, target) == pytest.approx([90 / 8])


def test_oks_is_stricter_at_the_eyes_than_at_the_hips() -> None:
    def moved(joint: int) -> float:
        found = figure()
        found[0, joint, 0] += 4
        return float(pose_oks.oks(found, figure())[0])

    assert moved(14) < moved(8) < 1
    area = 0.53 * 30 * 98
    assert moved(8) == pytest.approx((16 + np.exp(-16 / (2 * area * (2 * 0.107) ** 2))) / 17)


def test_the_trait_that_is_lost_most() -> None:
    names = ("red eyes", "white hair", "ahoge")
    real = np.array([[0.9, 1, 0.2]] * 3 + [[0.1, 1, 0.9]], np.float32)
    usual = trait_loss.usual_shares(real, names, ["white hair", "red eyes", "ahoge", "unknown"])
    assert usual == {"white hair": 1.0, "red eyes": 0.75}, "an ahoge is rare here"
    wrong_eyes = np.array([[0.0, 1, 0], [0.9, 1, 0]], np.float32)
    lost = trait_loss.losses(wrong_eyes, names, usual)
    assert lost is not None
    assert lost.mean() == 0.25
    as_real = trait_loss.losses(real, names, usual)
    assert as_real is not None
    assert not as_real.any()
    assert trait_loss.losses(real, names, {}) is None


def test_wrong_eyes_do_not_pass_the_gates() -> None:
    assert faults(Gates().check(trait_loss=0.4)) == ("trait_loss",)
    assert faults(Gates().check(trait_loss=0.1)) == ()
