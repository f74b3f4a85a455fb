from __future__ import annotations

from collections import Counter

import pytest

from charaforge.training import randomness
from charaforge.training.batches import Card, Deck, by_key, draws, micro_batches
from tests.training.conftest import MakeConfig

SAMPLES = 7
DECK = Deck((Card((64, 64)),) * SAMPLES)
TIMESTEPS = 1000


def test_every_epoch_takes_every_picture_once(make_config: MakeConfig) -> None:
    config = make_config(train_batch_size=2)
    places = [d.sample for step in range(SAMPLES) for d in draws(config, DECK, TIMESTEPS, step, 1)]
    epochs = [tuple(places[i : i + SAMPLES]) for i in range(0, len(places), SAMPLES)]
    assert all(sorted(epoch) == list(range(SAMPLES)) for epoch in epochs)
    assert len(set(epochs)) == len(epochs)


def test_a_batch_depends_on_seed_and_step_alone(make_config: MakeConfig) -> None:
    config = make_config()
    first = draws(config, DECK, TIMESTEPS, 3, 1)
    draws(config, DECK, TIMESTEPS, 4, 1)
    assert draws(config, DECK, TIMESTEPS, 3, 1) == first
    assert draws(make_config(seed=1), DECK, TIMESTEPS, 3, 1) != first


def test_processes_share_the_batch_that_one_would_take_alone(make_config: MakeConfig) -> None:
    alone = draws(make_config(train_batch_size=8), DECK, TIMESTEPS, 5, 1)
    config = make_config(train_batch_size=2, gradient_accumulation_steps=2)
    together = draws(config, DECK, TIMESTEPS, 5, 2)
    assert together == alone
    shares = [micro_batches(together, rank, 2, 2) for rank in (0, 1)]
    assert [[len(micro) for micro in share] for share in shares] == [[2, 2], [2, 2]]
    places = [d.position for share in shares for micro in share for d in micro]
    assert sorted(places) == list(range(8))


def test_timesteps_are_stratified_and_cover_the_range(make_config: MakeConfig) -> None:
    config = make_config()
    found = [[d.timestep for d in draws(config, DECK, TIMESTEPS, step, 1)] for step in range(200)]
    assert all(250 * i <= t < 250 * (i + 1) for batch in found for i, t in enumerate(sorted(batch)))
    assert len({tuple(t // 250 for t in batch) for batch in found}) == 24
    assert min(map(min, found)) < 10
    assert max(map(max, found)) > 990


def test_the_share_of_wordless_draws_is_as_configured(make_config: MakeConfig) -> None:
    config = make_config(caption_dropout=0.25)
    counts = Counter(d.wordless for step in range(250) for d in draws(config, DECK, TIMESTEPS, step, 1))
    assert counts[True] / 1000 == pytest.approx(0.25, abs=0.05)


def test_only_equal_sizes_share_a_tensor(make_config: MakeConfig) -> None:
    batch = draws(make_config(train_batch_size=SAMPLES), DECK, TIMESTEPS, 0, 1)
    sizes = [(8, 8), (8, 8), (8, 8), (6, 10), (8, 8), (8, 8), (6, 10)]
    groups = by_key(batch, sizes)
    assert sorted(len(group) for group in groups) == [2, 5]
    assert all(len({sizes[d.sample] for d in group}) == 1 for group in groups)


def test_derived_seeds_differ_in_every_argument() -> None:
    seeds = {
        randomness.derived_seed(seed, purpose, step, place)
        for seed in (0, 1)
        for purpose in ("noise", "timestep")
        for step in (1, 11)
        for place in (1, 11)
    }
    assert len(seeds) == 16
    assert randomness.derived_seed(0, "a", 1, 11) != randomness.derived_seed(0, "a", 11, 1)
