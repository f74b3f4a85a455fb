"""Intervals keep their promise in simulated studies."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from charaforge.evaluation.scoring import measure
from charaforge.evaluation.statistics import difference, mean, share, shares
from tests.evaluation.studies import beta_studies, torn_studies

PROMPTS, SEEDS, STUDIES = 40, 4, 2000
CELLS = [(0.5, 0.1), (0.8, 0.1), (0.85, 0.1), (0.9, 0.1), (0.95, 0.1), (0.98, 0.1)]
CELLS += [(truth, 0.4) for truth, _ in CELLS]


def study(
    rng: np.random.Generator, truth: float, correlation: float, mood: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.bool_]:
    """Accepts (P, S), beta-binomial with this intra-prompt correlation; ``mood`` (P, 1) couples arms."""
    z = rng.standard_normal((PROMPTS, 1)) if mood is None else mood
    scale = 1 / correlation - 1
    chance = stats.beta.ppf(stats.norm.cdf(z), truth * scale, (1 - truth) * scale)
    return rng.random((PROMPTS, SEEDS)) < chance


@pytest.mark.parametrize("studies", [beta_studies, torn_studies])
@pytest.mark.parametrize("prompts", [40, 100])
@pytest.mark.parametrize(("truth", "correlation"), CELLS)
def test_the_lower_bound_seldom_exceeds_the_truth(
    truth: float, correlation: float, prompts: int, studies: object
) -> None:
    rng = np.random.default_rng([int(truth * 100), int(correlation * 10), prompts])
    found = shares(studies(rng, STUDIES, prompts, SEEDS, truth, correlation))  # type: ignore[operator]
    assert (found.low > truth).mean() <= 0.04
    assert ((found.low <= truth) & (truth <= found.high)).mean() >= 0.93


@pytest.mark.parametrize("truth", [0.02, 0.3])
def test_low_shares_are_covered_too(truth: float) -> None:
    found = shares(beta_studies(np.random.default_rng(3), STUDIES, PROMPTS, SEEDS, truth, 0.4))
    assert ((found.low <= truth) & (truth <= found.high)).mean() >= 0.93


def test_many_studies_at_once_are_the_same_as_one_by_one() -> None:
    many = beta_studies(np.random.default_rng(4), 20, PROMPTS, SEEDS, 0.9, 0.4)
    at_once = shares(many)
    for index, one in enumerate(many):
        single = share(one)
        assert (single.estimate, single.low, single.high) == (
            at_once.estimate[index],
            at_once.low[index],
            at_once.high[index],
        )


def test_references_widen_the_interval() -> None:
    accepts = study(np.random.default_rng(6), 0.9, 0.2)
    plain, widened = share(accepts), share(accepts, reference_variance=0.02**2)
    assert widened.low < plain.low
    assert widened.high > plain.high
    assert widened.effective == plain.effective, "the prompts are as many as before"
    assert share(accepts, reference_variance=0.0) == plain
    gap, wider = (difference(accepts, ~accepts, reference_variance=v) for v in (0.0, 0.02**2))
    assert wider.low < gap.low
    assert wider.high > gap.high


@pytest.mark.parametrize("deviation", [0.0, 0.02, 0.06])
def test_more_accepts_never_lower_the_bound(deviation: float) -> None:
    """One picture that is refused does not cost more than what the choice of references is worth.

    Of all accepted, nothing shows that the pictures of a prompt differ at all: they count as one each.
    """
    rows = np.tri(161, 160, -1, dtype=bool).reshape(161, PROMPTS, SEEDS)
    lows = shares(rows, reference_variance=deviation**2).low
    assert (np.diff(lows[:-1]) > -1e-9).all()
    assert (np.abs(np.diff(lows))[-4:] < 0.025).all()
    assert lows[-1] < 0.94 - 1.5 * deviation, "nor are references forgotten where all are accepted"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_prompts_agree_a_share_still_has_an_interval(value: float) -> None:
    values = np.full((PROMPTS, SEEDS), value)
    told = measure("tag_recall", values, SEEDS)
    assert told.low is not None
    assert told.high is not None
    assert 0.05 < told.high - told.low < 0.15
    likeness = mean(values)
    assert likeness.low == likeness.high, "not a share: nothing says how far it could be"


def test_a_mean_is_clustered_by_prompt_and_leaves_out_what_is_missing() -> None:
    values = np.random.default_rng(2).normal(0.5, 0.1, (PROMPTS, 1)).repeat(SEEDS, axis=1)
    told = mean(values)
    assert told.high - told.low == pytest.approx(4 * 0.1 / np.sqrt(PROMPTS), rel=0.2), "not / sqrt(P·S)"
    values[0] = np.nan
    assert mean(values).estimate == pytest.approx(values[1:].mean())
    with pytest.raises(ValueError, match="no prompt"):
        mean(np.full((2, 2), np.nan))


def test_one_prompt_says_nothing_of_others() -> None:
    told = mean(np.array([[0.2, 0.4], [np.nan, np.nan]]))
    assert (told.estimate, told.low, told.high) == (pytest.approx(0.3), -np.inf, np.inf)
    clipped = measure("tag_recall", np.array([0.2, 0.4]), 2)
    assert (clipped.low, clipped.high) == (0.0, 1.0)


def test_share_is_not_needlessly_wide() -> None:
    rng = np.random.default_rng(5)
    widths = [(s := share(study(rng, 0.85, 0.1))).high - s.low for _ in range(200)]
    assert np.mean(widths) < 0.16  # 160 independent pictures would give .111


@pytest.mark.parametrize("coupling", [0.0, 0.7])
@pytest.mark.parametrize(("one", "two"), [(0.85, 0.2), (0.9, 0.05), (0.8, 0.5)])
def test_difference_covers_the_truth(one: float, two: float, coupling: float) -> None:
    rng = np.random.default_rng([int(one * 100), int(coupling * 10)])
    gaps = []
    for _ in range(500):
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
