"""Likeness and the threshold that impostors set."""

import numpy as np
import pytest

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.identity import leave_one_out, likeness
from charaforge.evaluation.threshold import strictest, threshold_at


def unit(*rows: tuple[float, ...]) -> np.ndarray:
    array = np.array(rows, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_likeness_is_the_median_cosine() -> None:
    references = unit((1, 0), (1, 0), (0, 1))
    assert likeness(unit((1, 0), (0, 1)), references) == pytest.approx([1.0, 0.0])


def test_leave_one_out_leaves_itself_out() -> None:
    odd_one = leave_one_out(unit((1, 0), (1, 0), (0, 1)))
    assert odd_one == pytest.approx([0.5, 0.5, 0.0])


def test_one_in_a_hundred_is_accepted() -> None:
    scores = np.random.default_rng(0).normal(size=3000)
    t = threshold_at(scores, "real")
    assert t.accepted == 30
    assert np.count_nonzero(scores >= t.value) == 30
    assert t.rate == 0.01
    assert t.rate_low == pytest.approx(0.0068, abs=2e-4)
    assert t.rate_high == pytest.approx(0.0138, abs=2e-4)


def test_interval_covers_the_rate_on_fresh_impostors() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        t = threshold_at(rng.random(500), "real")
        inside += t.rate_low <= 1 - t.value <= t.rate_high  # uniform scores: the true rate is 1 - value
    assert inside / 400 >= 0.92


def test_equal_scores_do_not_let_more_in() -> None:
    t = threshold_at(np.repeat(np.linspace(0, 1, 100), 5), "real")
    assert t.accepted == 5
    assert threshold_at(np.repeat(np.linspace(0, 1, 50), 10), "real").accepted == 0


def test_too_few_impostors_are_not_measurable() -> None:
    with pytest.raises(NotMeasurableError, match="60 generated") as caught:
        threshold_at(np.zeros(60), "generated")
    assert "40 are missing" in caught.value.hint
    assert caught.value.exit_code == 3


def test_the_stricter_impostors_decide() -> None:
    easy = threshold_at(np.linspace(0, 0.5, 200), "real")
    hard = threshold_at(np.linspace(0, 0.9, 200), "generated")
    assert strictest([easy, hard]) is hard
