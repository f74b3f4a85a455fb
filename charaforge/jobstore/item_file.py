"""The items of a job on the disk: a line each, and two indexes so that one is read without the others."""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.errors import WarehouseError
from charaforge.jobstore.files import Files
from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.planning import GroupKey, plan
from charaforge.jobstore.spec import Item, JobSpec

_OFFSET = struct.Struct("<Q")


@dataclass(frozen=True)
class Draft:
    """An item that is about to be written.

    Attributes:
        request: only what differs from what all items share.
        key: its group.
        note: see `Wish`.
        expect: see `Wish`.
    """

    request: Mapping[str, Any]
    key: GroupKey
    note: Mapping[str, Any]
    expect: str


@dataclass(frozen=True)
class Written:
    """The three files of the items, and how many shards there are."""

    lines: bytes
    items_index: bytes
    shards_index: bytes
    shards: int


def write_items(drafts: Sequence[Draft]) -> Written:
    """Return the files of items; a shard's lines stand together, in the order they are rendered in."""
    lines: list[bytes] = []
    items, shards, offset = array("Q", bytes(8 * len(drafts))), array("Q"), 0
    for place in plan([draft.key for draft in drafts]):
        draft = drafts[place.item]
        told: dict[str, Any] = {"item": place.item + 1, "shard": place.shard}
        told |= {"micro_batch": place.micro_batch, "size": place.size, "request": draft.request}
        if draft.note:
            told["note"] = draft.note
        if draft.expect:
            told["expect"] = draft.expect
        line = json.dumps(told, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        if place.shard == len(shards):
            shards.append(offset)
        items[place.item] = offset
        lines.append(line)
        offset += len(line)
    shards.append(offset)
    return Written(b"".join(lines), _little(items), _little(shards), len(shards) - 1)


class ItemFile:
    """Reads the items of a job.

    Args:
        files: the disk.
        folder: of the job.
        spec: of the job.
    """

    def __init__(self, files: Files, folder: JobFolder, spec: JobSpec) -> None:
        self._files = files
        self._folder = folder
        self._spec = spec

    def item(self, number: int) -> Item:
        """Return one item by its number, 1 … total.

        Raises:
            IndexError: there is none.
            WarehouseError: the files are damaged.
        """
        if not 1 <= number <= self._spec.total:
            raise IndexError(f"item {number} of {self._spec.total}")
        (start,) = self._offsets(self._folder.items_index, number - 1, 1)
        length = 4096
        while True:
            data = self._files.read_range(self._folder.items, start, length)
            if b"\n" in data or len(data) < length:
                return self._parsed(data.split(b"\n", 1)[0])
            length *= 8

    def shard(self, number: int) -> list[Item]:
        """Return the items of a shard, 0 … shards - 1, in the order they are rendered in.

        Raises:
            IndexError: there is none.
            WarehouseError: the files are damaged.
        """
        if not 0 <= number < self._spec.shards:
            raise IndexError(f"shard {number} of {self._spec.shards}")
        start, end = self._offsets(self._folder.shards_index, number, 2)
        data = self._files.read_range(self._folder.items, start, end - start)
        return [self._parsed(line) for line in data.split(b"\n") if line]

    def all(self) -> Iterator[Item]:
        """Yield all items, in the order they are rendered in, a shard in memory at a time."""
        for shard in range(self._spec.shards):
            yield from self.shard(shard)

    def _offsets(self, path: Path, first: int, count: int) -> tuple[int, ...]:
        data = self._files.read_range(path, _OFFSET.size * first, _OFFSET.size * count)
        if len(data) != _OFFSET.size * count:
            raise WarehouseError(f"{path} is damaged", "submit the job again")
        return struct.unpack(f"<{count}Q", data)

    def _parsed(self, line: bytes) -> Item:
        try:
            told = json.loads(line)
            request = {**self._spec.shared, **told["request"]}
            place = (told["item"], told["shard"], told["micro_batch"], told["size"])
            return Item(*place, request, told.get("note", {}), told.get("expect", ""))
        except (ValueError, KeyError, TypeError) as error:
            told = f"{self._folder.items} is damaged: {error}"
            raise WarehouseError(told, "submit the job again") from None


def _little(values: array[int]) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)
