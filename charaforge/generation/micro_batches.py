"""Which pictures are rendered together; `requests.together` says what has to be equal."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

from charaforge.requests.generation import GenerationRequest
from charaforge.requests.together import FULL, chosen_size, shared_part

Item = TypeVar("Item")


@dataclass(frozen=True)
class MicroBatch(Generic[Item]):
    """Pictures that are rendered together.

    Attributes:
        items: at most `size` of them.
        size: pictures that are really rendered; the last one is repeated to fill up.
    """

    items: tuple[Item, ...]
    size: int

    @property
    def padded(self) -> tuple[Item, ...]:
        """The pictures, the last one repeated up to the size."""
        return self.items + self.items[-1:] * (self.size - len(self.items))


def runs(items: Sequence[Item], request: Callable[[Item], GenerationRequest]) -> Iterator[list[Item]]:
    """Split pictures, in their order, into neighbours that fit together.

    Args:
        items: the pictures.
        request: what one of them asks for: one picture.
    """
    for _, run in groupby(items, key=lambda item: shared_part(request(item).plain())):
        yield list(run)


def micro_batches(
    items: Sequence[Item], alike: Callable[[Item], Hashable], size: int | None = None
) -> Iterator[MicroBatch[Item]]:
    """Split pictures that fit together, in their order, into batches of 8 and of 1.

    Neighbours form full batches of 8; a rest of 4 or more is padded to 8, a smaller one rendered one by one.

    Args:
        items: the pictures.
        alike: what further has to be equal within a batch, e.g. the length of the prompt.
        size: render all in batches of this size instead, to do again what was done so.
    """
    for _, group in groupby(items, key=alike):
        part = tuple(group)
        for start in range(0, len(part), FULL):
            eight = part[start : start + FULL]
            chosen = size or chosen_size(len(eight))
            for place in range(0, len(eight), chosen):
                yield MicroBatch(eight[place : place + chosen], chosen)
