"""All pairs of 64-bit hashes within a Hamming distance: exact, by sorted blocks.

The 64 bits are cut into ``radius + c`` blocks. Two hashes within the radius differ in at most ``radius``
blocks, so at least ``c`` blocks are equal (pigeonhole). For each choice of c blocks the hashes are sorted
with these blocks in front; only hashes with equal fronts are compared (Manku et al., WWW 2007). A pair is
reported in the first choice that finds it, hence once. Choices do not depend on each other.

A *crowd* is a run of hashes with equal fronts that are mostly within the radius of each other. Its pairs, a
billion for 50,000 hashes, are not listed; its hashes are marked, and `grouping` compares them as needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

MAX_RADIUS = 8
CROWD = 16
"""Pairs per hash of a run from which on it is a crowd."""
_SORT_NS, _PAIR_NS = 25.0, 0.7  # per hash and pass, per comparison; one core, measured
_LONG = 64  # hashes; longer runs are compared one by one, shorter ones all together
_CHUNK = 131_072  # hashes of one array operation, so that it stays in the processor's cache
_TILE = 256  # hashes of a long run that are compared with the others at a time
_TABLE_BITS = 24  # fronts up to this size are looked up in a table


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, each once.

    Attributes:
        left: (n,) int64, indices of hashes; left < right in the join of a set with itself.
        right: (n,) int64.
        distance: (n,) uint8, number of differing bits.
        crowded: indices of the hashes in crowds, rising. Every pair within the radius is listed, unless both
            of its hashes are here.
    """

    left: Indices
    right: Indices
    distance: npt.NDArray[np.uint8]
    crowded: Indices


def close_pairs(hashes: Hashes, radius: int, crowd: int | None = CROWD) -> Pairs:
    """Find the pairs of different hashes within a distance.

    Args:
        hashes: (n,) uint64, each value once.
        radius: bits, 0 to `MAX_RADIUS`.
        crowd: pairs per hash of a run from which on the run is a crowd; None lists all pairs.

    Raises:
        ValueError: a hash occurs twice, or the radius is out of range.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius} is not within 0 to {MAX_RADIUS}")
    order = np.argsort(hashes)
    values = hashes[order]
    if (values[1:] == values[:-1]).any():
        raise ValueError("a hash occurs twice; collapse equal hashes first")
    low, high, crowded = _value_pairs(values, radius, crowd)
    left, right = order[np.searchsorted(values, low)], order[np.searchsorted(values, high)]
    distance = np.bitwise_count(low ^ high)
    hot = np.sort(order[np.searchsorted(values, crowded)])
    return Pairs(np.minimum(left, right), np.maximum(left, right), distance, hot)


def close_to(new: Hashes, known: Hashes, radius: int, crowd: int | None = CROWD) -> Pairs:
    """Find the pairs of a new and a known hash within a distance; few new ones cost little.

    Args:
        new: (m,) uint64, each value once.
        known: (n,) uint64, each value once; it may hold values of `new`, which are pairs at distance 0.
        radius: bits, 0 to `MAX_RADIUS`.
        crowd: as in `close_pairs`; a run counts with all its hashes, new and known.

    Returns:
        Pairs with `left` into `new` and `right` into `known`; `crowded` holds indices of `known`, then, from
        n on, those of `new`.
    """
    new_order, known_order = np.argsort(new), np.argsort(known)
    news, knowns = new[new_order], known[known_order]
    low, high, crowded = _value_pairs(np.union1d(news, knowns), radius, crowd, news)
    one, other = np.concatenate([low, high, news]), np.concatenate([high, low, news])
    at_new, is_new = _find(news, one)
    at_known, is_known = _find(knowns, other)
    both = is_new & is_known
    hot_new, in_new = _find(news, crowded)
    hot_known, in_known = _find(knowns, crowded)
    hot = [known_order[hot_known[in_known]], len(known) + new_order[hot_new[in_new]]]
    return Pairs(
        new_order[at_new[both]],
        known_order[at_known[both]],
        np.bitwise_count(one[both] ^ other[both]),
        np.sort(np.concatenate(hot)),
    )


def blocks(count: int, radius: int) -> int:
    """Return how many blocks must be equal (c): the number with the least expected work for random hashes."""

    def cost(equal: int) -> float:
        passes = math.comb(radius + equal, equal)
        fronts = 2.0 ** (64 * equal // (radius + equal))
        return passes * (count * _SORT_NS + count * count / 2 / fronts * _PAIR_NS)

    return min(range(1, 4), key=cost)


def _find(values: Hashes, wanted: Hashes) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Return where each wanted value would stand among the sorted ones, and whether it does."""
    if not len(values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return at, values[at] == wanted


def _value_pairs(
    values: Hashes, radius: int, crowd: int | None, news: Hashes | None = None
) -> tuple[Hashes, Hashes, Hashes]:
    """Return the close pairs of a set of values, and the values in crowds.

    Args:
        values: (n,) uint64, rising.
        radius: bits.
        crowd: pairs per hash of a crowd.
        news: if given, only hashes that share a front with one of these take part.
    """
    equal = blocks(len(values), radius)
    edges = [64 * i // (radius + equal) for i in range(radius + equal + 1)]
    spans = list(pairwise(edges))
    pairs = np.zeros((2, 0), np.uint64)
    crowded = np.zeros(0, np.uint64)
    for chosen in combinations(range(len(spans)), equal):
        front = Front(tuple(spans), chosen)
        arranged = front.arrange(values)
        if news is not None:
            arranged = _sharing(arranged, front.arrange(news), front.bits)
        arranged.sort()
        found, hot = _pass(arranged, front.bits, radius, crowd)
        found, hot = front.restore(found), front.restore(hot)
        crowded = np.union1d(crowded, hot) if len(hot) else crowded
        pairs = np.concatenate([pairs, found[:, front.first_to_find(found[0] ^ found[1])]], axis=1)
        if len(crowded):
            inner = _find(crowded, pairs[0])[1] & _find(crowded, pairs[1])[1]
            pairs = pairs[:, ~inner]
    return pairs[0], pairs[1], crowded


@dataclass(frozen=True)
class Front:
    """A choice of blocks, and the hashes rearranged so that these come first.

    Attributes:
        spans: (first, last + 1) of every block, bits counted from the highest.
        chosen: numbers of the blocks in front.
    """

    spans: tuple[tuple[int, int], ...]
    chosen: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Number of bits in front."""
        return sum(self.spans[block][1] - self.spans[block][0] for block in self.chosen)

    def arrange(self, values: Hashes) -> Hashes:
        """Return the hashes with the chosen blocks in front; the other bits follow in their order."""
        return self._moved(values, [(old, new, size) for old, new, size in self._moves()])

    def restore(self, arranged: Hashes) -> Hashes:
        """Undo `arrange`."""
        return self._moved(arranged, [(new, old, size) for old, new, size in self._moves()])

    def first_to_find(self, differing: Hashes) -> npt.NDArray[np.bool_]:
        """Tell for each pair, given as its differing bits, whether this is the first choice to find it."""
        found = np.ones(len(differing), bool)
        for block in range(max(self.chosen) + 1):
            start, end = self.spans[block]
            mask = np.uint64(((1 << (end - start)) - 1) << (64 - end))
            found &= ((differing & mask) == 0) == (block in self.chosen)
        return found

    def _moves(self) -> Iterator[tuple[int, int, int]]:
        """Yield (old place, new place, number of bits) of stretches of bits that move together."""
        rest = [block for block in range(len(self.spans)) if block not in self.chosen]
        place = 0
        stretch: tuple[int, int, int] | None = None
        for block in (*self.chosen, *rest):
            start, end = self.spans[block]
            if stretch and stretch[0] + stretch[2] == start:
                stretch = (stretch[0], stretch[1], stretch[2] + end - start)
            else:
                if stretch:
                    yield stretch
                stretch = (start, place, end - start)
            place += end - start
        if stretch:
            yield stretch

    @staticmethod
    def _moved(values: Hashes, moves: list[tuple[int, int, int]]) -> Hashes:
        result = np.zeros_like(values)
        flat, out = values.reshape(-1), result.reshape(-1)
        for begin in range(0, flat.size, _CHUNK):
            part, target = flat[begin : begin + _CHUNK], out[begin : begin + _CHUNK]
            for old, new, size in moves:
                mask = np.uint64(((1 << size) - 1) << (64 - old - size))
                shift = np.uint64(abs(new - old))
                bits = part & mask
                target |= bits << shift if new < old else bits >> shift
        return result


def _sharing(arranged: Hashes, news: Hashes, bits: int) -> Hashes:
    """Return the hashes whose front one of the new ones has."""
    shift = np.uint64(64 - bits)
    if bits > _TABLE_BITS:
        is_shared = _find(np.unique(news >> shift), arranged >> shift)[1]
    else:
        wanted = np.zeros(1 << bits, bool)
        wanted[news >> shift] = True
        is_shared = wanted[arranged >> shift]
    return np.compress(is_shared, arranged)


def _pass(arranged: Hashes, bits: int, radius: int, crowd: int | None) -> tuple[Hashes, Hashes]:
    """Compare the hashes of each run with equal fronts; return pairs (2, n) and the hashes in crowds."""
    shift = np.uint64(64 - bits)
    if len(arranged) < 2:
        return np.zeros((2, 0), np.uint64), np.zeros(0, np.uint64)
    keys = arranged >> shift
    starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
    lengths = np.diff(np.append(starts, len(arranged)))
    del keys
    is_long = lengths > _LONG
    found: list[Hashes] = []
    hot = [np.zeros(0, np.uint64)]
    for start, length in zip(starts[is_long], lengths[is_long], strict=True):
        run = arranged[start : start + length]
        pairs = _run_pairs(run, radius, math.inf if crowd is None else crowd * int(length))
        if pairs is None:
            hot.append(run)
        else:
            found.append(pairs)
    if is_long.any():
        arranged = arranged[np.repeat(~is_long, lengths)]
        lengths = lengths[~is_long]
    found += _short_pairs(arranged, lengths, radius)
    return np.concatenate([np.zeros((2, 0), np.uint64), *found], axis=1), np.concatenate(hot)


def _short_pairs(arranged: Hashes, lengths: Indices, radius: int) -> Iterator[Hashes]:
    """Yield the close pairs within runs: each hash with the next one, with the one after that, ….

    As long as most runs are longer than the step, whole arrays are compared; pairs across runs that this
    brings in are dropped by `Front.first_to_find`. Then only the hashes of longer runs are.
    """
    step, longest = 1, int(lengths.max(initial=0))
    while step < longest and np.maximum(lengths - step, 0).sum() > len(arranged) // 3:
        yield from _shifted_pairs(arranged, step, radius)
        step += 1
    ends = np.repeat(np.cumsum(lengths), lengths)
    at = np.flatnonzero(ends > np.arange(len(arranged)) + step)
    while len(at):
        one, other = arranged[at], arranged[at + step]
        close = np.bitwise_count(one ^ other) <= radius
        yield np.stack([one[close], other[close]])
        step += 1
        at = at[ends[at] > at + step]


def _shifted_pairs(arranged: Hashes, step: int, radius: int) -> Iterator[Hashes]:
    """Yield the close pairs of all hashes with those `step` places further on."""
    for begin in range(0, len(arranged) - step, _CHUNK):
        one = arranged[begin : min(begin + _CHUNK, len(arranged) - step)]
        other = arranged[begin + step : begin + step + len(one)]
        at = np.flatnonzero(np.bitwise_count(one ^ other) <= radius)
        if len(at):
            yield np.stack([one[at], other[at]])


def _run_pairs(run: Hashes, radius: int, most: float) -> Hashes | None:
    """Return the close pairs within one long run, or None when there are more than `most`."""
    found = [np.zeros((2, 0), np.uint64)]
    count = 0
    for begin in range(0, len(run), _TILE):
        tile = run[begin : begin + _TILE]
        for other_begin in range(begin, len(run), _CHUNK // _TILE * 4):
            others = run[other_begin : other_begin + _CHUNK // _TILE * 4]
            i, j = np.nonzero(np.bitwise_count(tile[:, None] ^ others[None, :]) <= radius)
            later = begin + i < other_begin + j
            found.append(np.stack([tile[i[later]], others[j[later]]]))
            count += found[-1].shape[1]
            if count > most:
                return None
    return np.concatenate(found, axis=1)
