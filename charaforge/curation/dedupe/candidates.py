"""Which pictures may be copies of each other: close hashes, held in any of eight ways, then a closer look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.curation.dedupe.features import Features
from charaforge.curation.dedupe.join import Hashes, Indices, close_to
from charaforge.curation.dedupe.verify import WIDE_LIMIT, misfits
from charaforge.perception.phash import TURNS

EDGE = np.dtype([("one", "<u4"), ("other", "<u4"), ("turn", "u1"), ("distance", "u1"), ("is_copy", "?")])
"""A pair of pictures: `one`, held as `turn` says, looks like `other`; `distance` in bits of 64. Distances of
turned pictures depend a little on which of the two is turned; here it is the one with the higher number."""
Edges = npt.NDArray[np.void]

_MANY = 1024
"""Pairs of pictures behind one pair of hashes from which on the pictures are a crowd."""


@dataclass(frozen=True)
class Candidates:
    """Pairs of pictures with close hashes.

    Attributes:
        edges: (n,) of `EDGE`, each pair of pictures once per turn.
        crowded: numbers of the pictures in crowds, rising; pairs of two of these may be missing.
    """

    edges: Edges
    crowded: Indices


def candidates(known: Hashes, new: Features, radius: int, any_turn: bool = True) -> Candidates:
    """Compare new pictures with all.

    Args:
        known: (n,) uint64, hashes of the known pictures, unturned; pictures 0 … n-1.
        new: the new pictures, n ….
        radius: bits of 64.
        any_turn: find mirrored and turned copies too.

    Returns:
        Pairs with a new picture in them, not looked at closely (`is_copy` is false).
    """
    turns = len(TURNS) if any_turn else 1
    asked = _Values(new.small[:, :turns].ravel())
    targets = _Values(np.concatenate([known, new.small[:, 0]]))
    pairs = close_to(asked.values, targets.values, radius)
    hot = pairs.crowded
    hot_pictures = [
        targets.rows_of(hot[hot < len(targets.values)])[0],
        len(known) + asked.rows_of(hot[hot >= len(targets.values)] - len(targets.values))[0] // turns,
    ]
    many = asked.counts[pairs.left] * targets.counts[pairs.right] > _MANY
    hot_pictures.append(len(known) + asked.rows_of(np.unique(pairs.left[many]))[0] // turns)
    hot_pictures.append(targets.rows_of(np.unique(pairs.right[many]))[0])
    edges = _edges(asked, pairs.left[~many], targets, pairs.right[~many], turns, len(known))
    edges["distance"] = np.repeat(
        pairs.distance[~many], asked.counts[pairs.left[~many]] * targets.counts[pairs.right[~many]]
    )
    return Candidates(
        edges[edges["one"] > edges["other"]], np.unique(np.concatenate(hot_pictures)).astype(np.int64)
    )


def look_closely(edges: Edges, features: Features) -> Edges:
    """Return the pairs with `is_copy` told by wide hashes and thumbnails.

    Args:
        edges: (n,) of `EDGE`.
        features: of all pictures that the pairs name.
    """
    result = edges.copy()
    one, other, turn = edges["one"], edges["other"], edges["turn"]
    wide = np.bitwise_count(features.wide[one, turn] ^ features.wide[other, 0]).sum(axis=1)
    near = np.flatnonzero(wide <= WIDE_LIMIT)
    found = misfits(features.thumbs[one[near]], turn[near], features.thumbs[other[near]])
    result["is_copy"] = False
    result["is_copy"][near] = found <= 1
    return result


class _Values:
    """Hashes with equal ones collapsed.

    Args:
        hashes: (n,) uint64.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._order = np.argsort(hashes, kind="stable")
        ordered = hashes[self._order]
        is_first = np.ones(len(ordered), bool)
        is_first[1:] = ordered[1:] != ordered[:-1]
        self._starts = np.flatnonzero(is_first)
        self.values = ordered[is_first]
        self.counts = np.diff(np.append(self._starts, len(ordered)))

    def rows_of(self, values: Indices) -> tuple[Indices, Indices]:
        """Return the rows that hold the given values, and for each of them which of the given it holds."""
        counts = self.counts[values]
        which = np.repeat(np.arange(len(values)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._order[self._starts[values[which]] + within], which


def _edges(asked: _Values, left: Indices, targets: _Values, right: Indices, turns: int, known: int) -> Edges:
    """Return the pairs of pictures behind pairs of hashes, in the order of these."""
    rows, pair = asked.rows_of(left)
    others, which = targets.rows_of(right[pair])
    edges = np.zeros(len(others), EDGE)
    edges["one"] = known + rows[which] // turns
    edges["turn"] = rows[which] % turns
    edges["other"] = others
    return edges
