"""Groups of copies: each has a keeper, and every other member is a copy of the keeper itself.

Pictures are taken best first. One that is nobody's copy yet becomes a keeper and takes all its copies that
nobody has taken. So no chain of small steps joins pictures that differ, and the result depends on nothing but
the order and the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.curation.dedupe.candidates import EDGE, Edges, look_closely
from charaforge.curation.dedupe.features import Features
from charaforge.curation.dedupe.join import Indices
from charaforge.perception.phash import TURNS

_INVERSE = np.array([0, 1, 2, 3, 4, 6, 5, 7], np.uint8)  # a quarter turn is undone by the other one


@dataclass(frozen=True)
class Groups:
    """Who keeps whom, by picture.

    Attributes:
        keeper: (n,) int64, the keeper of each picture; itself for keepers and for pictures without copies.
        distance: (n,) uint8, bits of 64 between picture and keeper.
        turn: (n,) uint8, how the picture is to be held to look like its keeper; a number of `TURNS`.
    """

    keeper: Indices
    distance: npt.NDArray[np.uint8]
    turn: npt.NDArray[np.uint8]


def grouped(
    order: Sequence[int] | Indices,
    edges: Edges,
    crowded: Indices,
    features: Features,
    radius: int,
    any_turn: bool = True,
) -> Groups:
    """Group pictures.

    Args:
        order: numbers of the pictures that take part, best first.
        edges: pairs, looked at closely.
        crowded: pictures whose pairs with each other may be missing; they are compared here.
        features: of all pictures.
        radius: bits of 64, for the comparisons made here.
        any_turn: the same.
    """
    count = len(features)
    groups = Groups(np.arange(count), np.zeros(count, np.uint8), np.zeros(count, np.uint8))
    rank = np.full(count, count, np.int64)
    rank[np.asarray(order, np.int64)] = np.arange(len(order))
    copies = _Copies(edges, rank)
    crowd = _Crowd(np.asarray(crowded, np.int64), features, radius, any_turn, rank)
    taken = rank == count  # who does not take part
    for picture in sorted({*copies.firsts(), *crowd.pictures.tolist()}, key=rank.__getitem__):
        if taken[picture]:
            continue
        found = copies.of(picture)
        if crowd.holds(picture):
            found = np.concatenate([found, crowd.copies_of(picture, taken)])
        found = found[~taken[found["one"]]]
        for edge in found[
            np.lexsort([found["turn"], found["distance"]])[::-1]
        ]:  # the nearest is written last
            member = int(edge["one"])
            groups.keeper[member], taken[member] = picture, True
            groups.distance[member], groups.turn[member] = edge["distance"], edge["turn"]
        taken[picture] = True
    return groups


class _Copies:
    """The copies that a picture has among worse ones."""

    def __init__(self, edges: Edges, rank: Indices) -> None:
        count = len(rank)
        good = edges[edges["is_copy"]]
        good = good[(rank[good["one"]] < count) & (rank[good["other"]] < count)]
        edges = _towards(good, rank[good["one"]] < rank[good["other"]])
        self._edges = edges[np.argsort(edges["other"], kind="stable")]

    def firsts(self) -> list[int]:
        """Return the pictures that have copies."""
        return [int(picture) for picture in np.unique(self._edges["other"])]

    def of(self, picture: int) -> Edges:
        """Return pairs with a copy as `one`."""
        start, end = np.searchsorted(self._edges["other"], [picture, picture + 1])
        return self._edges[start:end]


class _Crowd:
    """Pictures that are compared with each other only when one of them becomes a keeper."""

    def __init__(
        self, pictures: Indices, features: Features, radius: int, any_turn: bool, rank: Indices
    ) -> None:
        self.pictures = pictures[rank[pictures] < len(rank)]
        self._features = features
        self._radius = radius
        self._turns = len(TURNS) if any_turn else 1
        self._left = self.pictures
        self._hashes = features.small[self._left]

    def holds(self, picture: int) -> bool:
        """Tell whether a picture is in the crowd."""
        at = int(np.searchsorted(self.pictures, picture))
        return at < len(self.pictures) and int(self.pictures[at]) == picture

    def copies_of(self, picture: int, taken: npt.NDArray[np.bool_]) -> Edges:
        """Return pairs with an untaken copy as `one`."""
        is_left = ~taken[self._left]
        if is_left.mean() < 0.8:  # not each time: copying costs
            self._left, self._hashes = self._left[is_left], self._hashes[is_left]
        edges = np.concatenate([self._close(picture, turn) for turn in range(self._turns)])
        edges = edges[~taken[edges["one"] + edges["other"] - picture]]
        edges = look_closely(edges, self._features)
        copies = edges[edges["is_copy"]]
        return _towards(copies, copies["one"] == picture)

    def _close(self, picture: int, turn: int) -> Edges:
        """Return pairs of the picture and those left, the one with the higher number turned."""
        own = self._features.small[picture]
        earlier = np.bitwise_count(self._hashes[:, 0] ^ own[turn])
        later = np.bitwise_count(self._hashes[:, turn] ^ own[0])
        distance = np.where(self._left < picture, earlier, later)
        at = np.flatnonzero((distance <= self._radius) & (self._left != picture))
        edges = np.zeros(len(at), EDGE)
        edges["one"], edges["other"] = (
            np.maximum(self._left[at], picture),
            np.minimum(self._left[at], picture),
        )
        edges["turn"], edges["distance"] = turn, distance[at]
        return edges


def _towards(edges: Edges, is_keeper_first: npt.NDArray[np.bool_]) -> Edges:
    """Return the pairs with the copy as `one` and its keeper as `other`."""
    result = edges.copy()
    swapped = edges[is_keeper_first]
    result["one"][is_keeper_first], result["other"][is_keeper_first] = swapped["other"], swapped["one"]
    result["turn"][is_keeper_first] = _INVERSE[swapped["turn"]]
    return result
