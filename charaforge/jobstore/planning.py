"""Which items are rendered together, in what order: fixed when a job is submitted.

Items that fit together (`requests.together`) form groups; groups of one model stand together, and within it
those of one set of LoRAs, so that workers rarely change either. A group is cut into shards of up to 32, a
shard into micro-batches of 8; a rest of 4 or more is padded to 8, a smaller one rendered one by one. Prompts
of more than one window of the text encoder are kept apart from shorter ones, by an estimate: together they
would be rendered in two halves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from charaforge.jobstore.spec import canonical
from charaforge.requests.together import FULL, chosen_size, shared_part

SHARD = 32
_WINDOW = 75  # tokens
_SHORT = 150  # characters; shorter prompts hardly ever have more tokens than a window
_WORD = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")


@dataclass(frozen=True)
class Place:
    """Where an item is rendered.

    Attributes:
        item: its place among the items as they were given, from 0.
        shard: from 0.
        micro_batch: of the shard, from 0.
        size: of the micro-batch.
    """

    item: int
    shard: int
    micro_batch: int
    size: int


@dataclass(frozen=True)
class GroupKey:
    """What the items of a group have in common, coarse to fine; a size of 0 is chosen by their number."""

    model: str
    loras: str
    shared: bytes
    windows: int
    size: int = 0


def group_key(plain: Mapping[str, Any], size: int = 0) -> GroupKey:
    """Return the group of a request, given as JSON values, and of the size of its micro-batch."""
    model = f"{plain['model']} {plain['vae']}"
    length = max(windows(plain["prompt"]), windows(plain["negative"]))
    return GroupKey(model, canonical(plain["loras"]).decode(), canonical(shared_part(plain)), length, size)


def windows(prompt: str) -> int:
    """Return about how many windows of 75 tokens a prompt takes."""
    breaks = prompt.count("BREAK")
    if len(prompt) <= _SHORT:
        return 1 + breaks
    tokens = sum(1 + len(word) // 8 for word in _WORD.findall(prompt))
    return 1 + breaks + max(0, tokens - 1) // _WINDOW


def plan(keys: Sequence[GroupKey]) -> Iterator[Place]:
    """Yield the place of every item, in the order they are rendered in.

    Args:
        keys: the group of each item, in the order the items were given in.
    """
    groups: dict[GroupKey, list[int]] = {}
    for item, key in enumerate(keys):
        groups.setdefault(key, []).append(item)
    models: dict[str, int] = {}
    loras: dict[tuple[str, str], int] = {}
    for place, key in enumerate(groups):
        models.setdefault(key.model, place)
        loras.setdefault((key.model, key.loras), place)
    shard = 0
    for key in sorted(groups, key=lambda key: (models[key.model], loras[key.model, key.loras])):
        members = groups[key]
        for start in range(0, len(members), SHARD):
            yield from _shard(members[start : start + SHARD], shard, key.size)
            shard += 1


def _shard(members: Sequence[int], shard: int, fixed: int) -> Iterator[Place]:
    number = 0
    for start in range(0, len(members), FULL):
        eight = members[start : start + FULL]
        size = fixed or chosen_size(len(eight))
        for item in eight:
            yield Place(item, shard, number, size)
            number += size == 1
        number += size != 1
