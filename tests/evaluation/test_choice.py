"""The choice among checkpoints: the rules, and what they are worth in simulated runs."""

import numpy as np
import pytest

from charaforge.evaluation.choice import best_few, better_weight, earliest_within, in_turn
from tests.evaluation.studies import coupled_accepts, true_curves

PROMPTS, SEEDS, RUNS = 40, 4, 1500


def row(*values: float) -> np.ndarray:
    return np.array([values])


def test_the_earliest_within_a_hundredth_of_the_best() -> None:
    all_in = np.ones((1, 4), bool)
    assert earliest_within(row(0.5, 0.90, 0.905, 0.91), all_in) == [1]
    assert earliest_within(row(0.5, 0.89, 0.905, 0.91), all_in) == [2]
    assert earliest_within(row(0.91, 0.5, 0.5, 0.5), all_in) == [0]


def test_gates_come_first() -> None:
    estimates = row(0.6, 0.7, 0.95, 0.96)
    copies = np.array([[True, True, False, False]])
    assert earliest_within(estimates, copies) == [1]
    assert best_few(estimates, copies).tolist() == [[True, True, False, False]]
    nobody = np.zeros((1, 4), bool)
    assert earliest_within(estimates, nobody) == [2], "where nobody passes, the best is still found"
    assert best_few(estimates, nobody, 2).tolist() == [[False, False, True, True]]


def test_of_equal_finalists_the_earlier() -> None:
    assert best_few(row(0.8, 0.8, 0.8, 0.8), np.ones((1, 4), bool), 2).tolist() == [
        [True, True, False, False]
    ]


def test_who_passes_is_looked_at_before_who_does_not() -> None:
    estimates, passes = np.array([0.9, 0.8, 0.95, 0.8, 0.7]), np.array([True, True, False, True, False])
    assert in_turn(estimates, passes) == [0, 1, 3, 2, 4]
    assert in_turn(estimates, np.zeros(5, bool)) == [2, 0, 1, 3, 4]


def test_another_weight_has_to_be_better_by_a_margin() -> None:
    rng = np.random.default_rng(0)
    plain = rng.random((PROMPTS, SEEDS)) < 0.7
    slightly = plain.copy()
    slightly[:1] = True
    clearly = plain | (rng.random((PROMPTS, SEEDS)) < 0.5)
    allowed = {0.6: True, 0.8: True}
    assert better_weight(plain, {0.6: slightly, 0.8: plain}, allowed) == 1.0
    assert better_weight(plain, {0.6: slightly, 0.8: clearly}, allowed) == 0.8
    assert better_weight(plain, {0.6: slightly, 0.8: clearly}, allowed | {0.8: False}) == 1.0


@pytest.mark.parametrize("usual_gain", [-0.03, 0.0, 0.02])
def test_a_better_weight_is_seldom_missed_and_a_worse_one_seldom_taken(usual_gain: float) -> None:
    """True gains stray by 0.04; as in the choice, only what does better with one picture is looked at."""
    rng, runs = np.random.default_rng(3), 400
    plain = rng.uniform(0.75, 0.95, runs)
    truths = np.stack([plain, np.clip(plain + rng.normal(usual_gain, 0.04, runs), 0.02, 0.995)], axis=1)
    accepts = coupled_accepts(rng, truths, PROMPTS, SEEDS, 0.3, coupling=0.7)
    nearer = accepts[:, 1, :, 0].mean(axis=1) > accepts[:, 0, :, 0].mean(axis=1)
    taken = np.array(
        [
            on and better_weight(one, {1.2: other}, {1.2: True}) == 1.2
            for on, (one, other) in zip(nearer, accepts, strict=True)
        ]
    )
    found = truths[np.arange(runs), taken.astype(int)]
    assert found.mean() > plain.mean()
    assert (truths.max(axis=1) - found > 0.03).mean() < 0.17
    assert (taken & (truths[:, 1] < truths[:, 0])).mean() < 0.05


@pytest.mark.parametrize("correlation", [0.1, 0.3])
def test_the_choice_is_good_and_its_number_fair(correlation: float) -> None:
    rng = np.random.default_rng([7, int(10 * correlation)])
    truths = true_curves(rng, RUNS)
    accepts = coupled_accepts(rng, truths, PROMPTS, SEEDS, correlation, coupling=0.7)
    screened, close = accepts[..., 0].mean(axis=2), accepts.mean(axis=(2, 3))
    chosen = earliest_within(close, best_few(screened, np.ones(truths.shape, bool)))
    runs = np.arange(RUNS)
    regret = truths.max(axis=1) - truths[runs, chosen]
    assert (regret <= 0.03).mean() >= 0.90
    found = truths[runs, chosen]
    fresh = coupled_accepts(rng, found[:, None], PROMPTS, SEEDS, correlation, coupling=0.7)
    assert abs((fresh.mean(axis=(1, 2, 3)) - found).mean()) <= 0.01
    naive = screened.argmax(axis=1)
    assert (screened[runs, naive] - truths[runs, naive]).mean() > 0.03, "the maximum of a screening flatters"
    best = close.argmax(axis=1)
    assert (close[runs, best] - truths[runs, best]).mean() > 0.015, "and so does that of a closer look"
