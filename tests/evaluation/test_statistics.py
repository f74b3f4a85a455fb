"""Intervals keep their promise in simulated studies."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from charaforge.evaluation.statistics import difference, share

PROMPTS, SEEDS, STUDIES = 40, 4, 600


def study(
    rng: np.random.Generator, truth: float, correlation: float, mood: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.bool_]:
    """Accepts (P, S), beta-binomial with this intra-prompt correlation; ``mood`` (P, 1) couples arms."""
    z = rng.standard_normal((PROMPTS, 1)) if mood is None else mood
    scale = 1 / correlation - 1
    chance = stats.beta.ppf(stats.norm.cdf(z), truth * scale, (1 - truth) * scale)
    return rng.random((PROMPTS, SEEDS)) < chance


@pytest.mark.parametrize("correlation", [0.1, 0.4])
@pytest.mark.parametrize("truth", [0.02, 0.3, 0.8, 0.9, 0.95, 0.98])
def test_share_covers_the_truth(truth: float, correlation: float) -> None:
    rng = np.random.default_rng([int(truth * 100), int(correlation * 10)])
    shares = [share(study(rng, truth, correlation)) for _ in range(STUDIES)]
    covered = np.mean([s.low <= truth <= s.high for s in shares])
    too_high = np.mean([s.low > truth for s in shares])
    assert covered >= 0.93, covered
    assert too_high <= 0.05, too_high


def test_share_is_not_needlessly_wide() -> None:
    rng = np.random.default_rng(5)
    widths = [(s := share(study(rng, 0.85, 0.1))).high - s.low for _ in range(200)]
    assert np.mean(widths) < 0.16  # 160 independent pictures would give .111


@pytest.mark.parametrize("coupling", [0.0, 0.7])
@pytest.mark.parametrize(("one", "two"), [(0.85, 0.2), (0.9, 0.05), (0.8, 0.5)])
def test_difference_covers_the_truth(one: float, two: float, coupling: float) -> None:
    rng = np.random.default_rng([int(one * 100), int(coupling * 10)])
    gaps = []
    for _ in range(STUDIES):
        mood = rng.standard_normal((PROMPTS, 1))
        other = coupling * mood + np.sqrt(1 - coupling**2) * rng.standard_normal((PROMPTS, 1))
        gaps.append(difference(study(rng, one, 0.3, mood), study(rng, two, 0.3, other)))
    assert np.mean([g.low <= one - two <= g.high for g in gaps]) >= 0.92
    assert np.mean([g.low > one - two for g in gaps]) <= 0.05


def test_coupled_arms_give_a_narrower_difference() -> None:
    rng = np.random.default_rng(1)
    mood = rng.standard_normal((PROMPTS, 1))
    a, b = study(rng, 0.8, 0.6, mood), study(rng, 0.5, 0.6, mood)
    paired, unpaired = difference(a, b), difference(a, b[rng.permutation(PROMPTS)])
    assert paired.high - paired.low < unpaired.high - unpaired.low


@pytest.mark.parametrize("outcome", [False, True])
def test_all_alike_gives_a_sensible_interval(outcome: bool) -> None:
    s = share(np.full((PROMPTS, SEEDS), outcome))
    assert s.estimate == float(outcome)
    assert s.effective == PROMPTS
    assert 0.05 < s.high - s.low < 0.15


def test_certain_difference_is_not_claimed_to_be_exact() -> None:
    gap = difference(np.ones((PROMPTS, SEEDS), bool), np.zeros((PROMPTS, SEEDS), bool))
    assert gap.estimate == 1.0
    assert 0.8 < gap.low < 1.0


def test_copies_of_one_seed_add_nothing() -> None:
    once = np.random.default_rng(3).random((PROMPTS, 1)) < 0.7
    one, four = share(once), share(np.repeat(once, 4, axis=1))
    assert four.effective == pytest.approx(PROMPTS, rel=0.05)
    assert four.low == pytest.approx(one.low, abs=0.01)


def test_shapes_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="prompts >= 2"):
        share(np.ones((1, 4), bool))
    with pytest.raises(ValueError, match="paired"):
        difference(np.ones((3, 4), bool), np.ones((3, 2), bool))
