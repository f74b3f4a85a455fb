"""Which pictures are rendered together.

A picture's bytes do not depend on its neighbours in a batch, nor on where it stands, but they do on the
batch's size (by about 1e-6 before rounding, measured on CPU). So there are two sizes only: 8 where it pays,
else 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from charaforge.requests.generation import GenerationRequest

FULL = 8
WORTH_PADDING = 4


@dataclass(frozen=True)
class MicroBatch:
    """Requests for one picture each that differ only in prompt, negative prompt and seed.

    Attributes:
        requests: at most `size` of them.
        size: pictures that are really rendered; the last request is repeated to fill up.
    """

    requests: tuple[GenerationRequest, ...]
    size: int

    @property
    def padded(self) -> tuple[GenerationRequest, ...]:
        """The requests, the last one repeated up to the size."""
        return self.requests + self.requests[-1:] * (self.size - len(self.requests))


def micro_batches(requests: Sequence[GenerationRequest]) -> Iterator[MicroBatch]:
    """Split requests for one picture each, in their order, into batches of 8 and of 1.

    Neighbours that fit together form full batches of 8; a rest of 4 or more is padded to 8, a smaller one is
    rendered one by one.
    """
    for _, run in groupby(requests, key=_shared):
        alike = tuple(run)
        for start in range(0, len(alike), FULL):
            part = alike[start : start + FULL]
            if len(part) >= WORTH_PADDING:
                yield MicroBatch(part, FULL)
            else:
                yield from (MicroBatch((request,), 1) for request in part)


def _shared(request: GenerationRequest) -> dict[str, Any]:
    """Return all of a request that has to be equal within a batch."""
    return request.model_dump(exclude={"prompt", "negative", "seed"})
