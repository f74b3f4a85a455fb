"""Which pictures are rendered together.

A picture's bytes do not depend on its neighbours in a batch, nor on where it stands, but they do on the
batch's size (by about 1e-6 before rounding, measured on CPU). So there are two sizes only: 8 where it pays,
else 1.

Pictures fit together that ask for the same but for their words, seeds and pictures: the noise, the map of a
ControlNet, the picture to start from and the reference differ freely within a batch, their strengths do not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from charaforge.requests.generation import GenerationRequest

Item = TypeVar("Item")

FULL = 8
WORTH_PADDING = 4
SIZES = (1, FULL)
_PICTURES = {"image": True, "keypoints": True}
_PER_PICTURE: Any = {
    "prompt": True,
    "negative": True,
    "seed": True,
    "wildcard_seed": True,
    "variation": {"seed"},
    "controls": {"__all__": _PICTURES},
    "init": {"image", "mask"},
    "references": {"__all__": {"face_ref", "style_ref"}},
}


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
    for _, run in groupby(items, key=lambda item: _shared(request(item))):
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
            chosen = size or (FULL if len(eight) >= WORTH_PADDING else 1)
            for place in range(0, len(eight), chosen):
                yield MicroBatch(eight[place : place + chosen], chosen)


def _shared(request: GenerationRequest) -> dict[str, Any]:
    """Return all of a request that has to be equal within a batch."""
    shared = request.model_dump(exclude=_PER_PICTURE)
    masked = request.init is not None and request.init.mask is not None
    return {**shared, "masked": masked}
