"""Groups against a plain telling of their rule, crowds, and pictures added later."""

from itertools import pairwise

import numpy as np
import pytest

from charaforge.curation.dedupe.candidates import candidates, look_closely
from charaforge.curation.dedupe.features import Features
from charaforge.curation.dedupe.grouping import Groups, grouped
from charaforge.curation.dedupe.join import Hashes
from tests.curation.dedupe.test_join import clustered, flipped


def made_up(hashes: Hashes, seed: int = 0) -> Features:
    """Return features of pictures that look alike wherever their hashes are close; only held upright."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 2**64, (len(hashes), 8), dtype=np.uint64)
    small[:, 0] = hashes
    return Features(
        rng.integers(0, 256, (len(hashes), 32), dtype=np.uint8),
        small,
        np.zeros((len(hashes), 8, 4), np.uint64),
        np.zeros((len(hashes), 32, 32, 3), np.uint8),
    )


def part(features: Features, of: slice) -> Features:
    return Features(features.sha256[of], features.small[of], features.wide[of], features.thumbs[of])


def by_rule(order: np.ndarray, hashes: Hashes, radius: int) -> np.ndarray:
    keeper = np.arange(len(hashes))
    taken = np.zeros(len(hashes), bool)
    for picture in order:
        if not taken[picture]:
            copies = ~taken & (np.bitwise_count(hashes ^ hashes[picture]) <= radius)
            keeper[copies] = picture
            taken |= copies
    return keeper


def groups_of(features: Features, order: np.ndarray, radius: int, steps: int = 1) -> Groups:
    edges, crowded = [], [np.zeros(0, np.int64)]
    limits = np.linspace(0, len(features), steps + 1).astype(int)
    for start, end in pairwise(limits):
        found = candidates(
            features.small[:start, 0], part(features, slice(start, end)), radius, any_turn=False
        )
        edges.append(look_closely(found.edges, features))
        crowded.append(found.crowded)
    return grouped(
        order, np.concatenate(edges), np.unique(np.concatenate(crowded)), features, radius, any_turn=False
    )


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("radius", [0, 4, 8])
def test_groups_follow_the_rule(radius: int, steps: int) -> None:
    rng = np.random.default_rng(radius)
    hashes = clustered(radius, 3_000)
    hashes = np.concatenate([hashes, rng.choice(hashes, 1_000)])  # equal hashes too
    order = rng.permutation(len(hashes))
    groups = groups_of(made_up(hashes), order, radius, steps)
    np.testing.assert_array_equal(groups.keeper, by_rule(order, hashes, radius))
    np.testing.assert_array_equal(groups.distance, np.bitwise_count(hashes ^ hashes[groups.keeper]))


@pytest.mark.parametrize("bits", [0, 3, 9])
def test_a_crowd_becomes_keepers_and_members(bits: int) -> None:
    """Mostly one group for up to 3 changed bits, many for 9; and many pictures with one and the same hash."""
    rng = np.random.default_rng(bits)
    crowd = flipped(rng, np.full(6_000, 0x123456789ABCDEF0, np.uint64), bits)
    hashes = np.concatenate([crowd, rng.integers(0, 2**64, 2_000, dtype=np.uint64)])
    order = rng.permutation(len(hashes))
    groups = groups_of(made_up(hashes), order, 6)
    np.testing.assert_array_equal(groups.keeper, by_rule(order, hashes, 6))


def test_pictures_that_look_different_stay_apart_however_close_their_hashes_are() -> None:
    features = made_up(np.full(150, 7, np.uint64))
    rng = np.random.default_rng(1)
    features.thumbs[:] = rng.integers(0, 256, features.thumbs.shape)
    groups = groups_of(features, np.arange(150), 6)
    np.testing.assert_array_equal(groups.keeper, np.arange(150))


def test_who_does_not_take_part_is_left_alone() -> None:
    hashes = np.array([5, 5, 5, 4], np.uint64)
    groups = groups_of(made_up(hashes), np.array([3, 1]), 2)
    assert groups.keeper.tolist() == [0, 3, 2, 3]
    assert groups.distance.tolist() == [0, 1, 0, 0]
