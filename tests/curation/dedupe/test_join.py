"""The sorted-block join against brute force."""

import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charaforge.curation.dedupe.join import Front, Hashes, Pairs, blocks, close_pairs, close_to

RADII = (0, 2, 4, 6, 8)
Rows = npt.NDArray[np.int64]


def flipped(rng: np.random.Generator, hashes: Hashes, bits: int) -> Hashes:
    """Change up to `bits` random bits of each hash."""
    for _ in range(bits):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64))
    return hashes


def clustered(seed: int, count: int) -> Hashes:
    """Half random hashes, half copies of 500 of them with up to 9 changed bits; each once, in no order."""
    rng = np.random.default_rng(seed)
    lonely = rng.integers(0, 2**64, count // 2, dtype=np.uint64)
    copies = rng.choice(lonely[:500], count - len(lonely))
    parts = np.array_split(copies, 10)
    near = [flipped(rng, part, bits) for bits, part in enumerate(parts)]
    hashes = np.unique(np.concatenate([lonely, *near]))
    rng.shuffle(hashes)
    return hashes


def brute_force(one: Hashes, other: Hashes, radius: int) -> Rows:
    """Return (index, index, distance) of all close pairs, sorted."""
    found = [np.zeros((0, 3), np.int64)]
    for begin in range(0, len(one), 16):
        distances = np.bitwise_count(one[begin : begin + 16, None] ^ other[None, :])
        flat = np.flatnonzero(distances <= radius)
        i, j = np.divmod(flat, max(1, len(other)))
        found.append(np.stack([begin + i, j, distances.ravel()[flat]], axis=1))
    return np.concatenate(found)


def with_itself(hashes: Hashes, radius: int) -> Rows:
    pairs = brute_force(hashes, hashes, radius)
    return pairs[pairs[:, 0] < pairs[:, 1]]


def listed(pairs: Pairs) -> Rows:
    order = np.lexsort([pairs.right, pairs.left])
    return np.stack([pairs.left, pairs.right, pairs.distance], axis=1)[order].astype(np.int64)


@pytest.mark.parametrize("radius", RADII)
def test_the_join_equals_brute_force(radius: int) -> None:
    hashes = clustered(radius, 20_000)
    np.testing.assert_array_equal(
        listed(close_pairs(hashes, radius, crowd=None)), with_itself(hashes, radius)
    )


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 2**64 - 1), max_size=12), st.integers(0, 8), st.integers(0, 2**32))
def test_the_join_equals_brute_force_on_small_sets(values: set[int], radius: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = np.array(sorted(values), np.uint64)
    hashes = np.unique(np.concatenate([some, flipped(rng, some, 1), flipped(rng, some, radius)]))
    rng.shuffle(hashes)
    np.testing.assert_array_equal(
        listed(close_pairs(hashes, radius, crowd=None)), with_itself(hashes, radius)
    )


@pytest.mark.parametrize("radius", RADII)
def test_new_against_known_equals_brute_force(radius: int) -> None:
    hashes = clustered(100 + radius, 6_000)
    rng = np.random.default_rng(radius)
    new, known = hashes[:600], np.concatenate([hashes[600:], hashes[:20]])
    rng.shuffle(known)
    found = listed(close_to(new, known, radius, crowd=None))
    np.testing.assert_array_equal(found, brute_force(new, known, radius))


def test_nothing_and_next_to_nothing() -> None:
    none = np.zeros(0, np.uint64)
    one = np.array([7], np.uint64)
    assert len(listed(close_pairs(none, 6))) == len(listed(close_pairs(one, 6))) == 0
    assert len(listed(close_to(none, one, 6))) == len(listed(close_to(one, none, 6))) == 0
    assert listed(close_to(one, one, 6)).tolist() == [[0, 0, 0]]


def test_a_crowd_is_marked_instead_of_listed() -> None:
    rng = np.random.default_rng(5)
    centre = rng.integers(0, 2**64, 1, dtype=np.uint64)
    crowd = np.unique(flipped(rng, np.repeat(centre, 50_000), 3))
    outside = rng.integers(0, 2**64, 50_000, dtype=np.uint64)
    hashes = np.concatenate([outside, crowd])
    start = time.process_time()
    pairs = close_pairs(hashes, 6)
    assert time.process_time() - start < 20
    assert len(pairs.left) < 20 * len(crowd)
    assert len(pairs.crowded) > 0.9 * len(crowd)
    hot = set(pairs.crowded.tolist())
    listed_here = {(i, j) for i, j, _ in listed(pairs).tolist()}
    for i in range(50_000, 50_040):
        for j in np.flatnonzero(np.bitwise_count(hashes ^ hashes[i]) <= 6).tolist():
            assert i == j or (i in hot and j in hot) or (min(i, j), max(i, j)) in listed_here


@pytest.mark.parametrize("spans", [((0, 8), (8, 16), (16, 40), (40, 64)), ((0, 21), (21, 42), (42, 64))])
@pytest.mark.parametrize("chosen", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_rearranging_bits_loses_none(spans: tuple[tuple[int, int], ...], chosen: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 2**64, 500, dtype=np.uint64)
    front = Front(spans, chosen)
    arranged = front.arrange(values)
    np.testing.assert_array_equal(front.restore(arranged), values)
    np.testing.assert_array_equal(np.bitwise_count(arranged), np.bitwise_count(values))
    start, end = spans[chosen[0]]
    key = (values << np.uint64(start)) >> np.uint64(64 - end + start)
    np.testing.assert_array_equal(arranged >> np.uint64(64 - end + start), key)


def test_more_hashes_are_cut_into_finer_fronts() -> None:
    assert [blocks(count, 4) for count in (1_000, 1_000_000, 1_000_000_000)] == [1, 2, 3]


def test_faults_of_the_caller_are_told() -> None:
    with pytest.raises(ValueError, match="twice"):
        close_pairs(np.array([3, 3], np.uint64), 4)
    with pytest.raises(ValueError, match="radius 9"):
        close_pairs(np.array([3], np.uint64), 9)
