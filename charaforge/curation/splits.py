"""Splits without leaks: what belongs together – copies, pages of one post – lies in one split.

Held-out pictures are few and fixed: references (`ref`) that likeness is measured against, `calib` for what
real pictures reach, `val` for the loss. All others train. Pictures that an earlier table has assigned stay
where they are, so that nothing that was trained on becomes a reference later.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPLITS = ("train", "val", "ref", "calib")
COLLECTION_SHARE = 0.25
"""A source that holds more of the pictures is no origin of few, but a collection: it may be split."""


@dataclass(frozen=True)
class Quota:
    """How much is held out.

    Attributes:
        share: of all usable pictures, 0 to 1.
        least: pictures, where a quarter (`ref`) or an eighth of all allows it.
        most: pictures.
    """

    share: float
    least: int
    most: int = 200


QUOTAS: Mapping[str, Quota] = {
    "ref": Quota(0.16, 8),
    "calib": Quota(0.08, 4),
    "val": Quota(0.06, 2),
}


@dataclass(frozen=True)
class Member:
    """One usable picture.

    Attributes:
        sha256: of the file.
        ties: names of what it belongs to: its duplicate group, its source.
    """

    sha256: str
    ties: tuple[str, ...] = ()


def assign(members: Sequence[Member], seed: int = 0, before: Mapping[str, str] | None = None) -> list[str]:
    """Return the split of every picture.

    Args:
        members: the pictures.
        seed: of the order in which groups are drawn.
        before: sha256 -> split of an earlier run; where a group was torn, it goes to train if any of it was.
    """
    groups = together(members)
    sizes = Counter(groups)
    result = _kept(members, groups, before or {})
    room = {split: _target(split, len(members)) for split in QUOTAS}
    for group, split in result.items():
        if split in room:
            room[split] -= sizes[group]
    drawn = sorted(sizes.keys() - result.keys(), key=lambda group: _order(group, seed))
    for group in drawn:
        split = next((name for name in QUOTAS if sizes[group] <= room[name]), "train")
        if split in room:
            room[split] -= sizes[group]
        result[group] = split
    return [result[group] for group in groups]


def together(members: Sequence[Member]) -> list[str]:
    """Return for every picture the name of its group: the least sha256 of all that ties reach."""
    parent = list(range(len(members)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[str, int] = {}
    for index, member in enumerate(members):
        for tie in (member.sha256, *member.ties):
            parent[root(index)] = root(first.setdefault(tie, index))
    names: dict[int, str] = {}
    for index, member in enumerate(members):
        names[root(index)] = min(names.get(root(index), member.sha256), member.sha256)
    return [names[root(index)] for index in range(len(members))]


def collections(sources: Sequence[str]) -> list[str]:
    """Return the sources that hold too many of the pictures to lie in one split."""
    counts = Counter(filter(None, sources))
    return sorted(name for name, count in counts.items() if count > max(2, COLLECTION_SHARE * len(sources)))


def _kept(members: Sequence[Member], groups: Sequence[str], before: Mapping[str, str]) -> dict[str, str]:
    """Return the groups that an earlier run has assigned."""
    seen: dict[str, set[str]] = defaultdict(set)
    for member, group in zip(members, groups, strict=True):
        if before.get(member.sha256) in SPLITS:
            seen[group].add(before[member.sha256])
    return {group: min(found, key=SPLITS.index) for group, found in seen.items()}


def _target(split: str, total: int) -> int:
    quota = QUOTAS[split]
    allowed = total // 4 if split == "ref" else total // 8
    return min(max(round(quota.share * total), min(quota.least, allowed)), quota.most)


def _order(group: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {group}".encode()).hexdigest()
