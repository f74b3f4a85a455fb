from __future__ import annotations

import pytest

from charaforge.generation.micro_batches import micro_batches
from charaforge.requests.generation import GenerationRequest


def requests(count: int, **fields: object) -> list[GenerationRequest]:
    return GenerationRequest.model_validate({"prompt": "girl", "seed": 5, "count": count, **fields}).singles()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (3, [1, 1, 1]), (4, [8]), (8, [8]), (10, [8, 1, 1]), (13, [8, 8]), (16, [8, 8])],
)
def test_sizes_are_8_and_1_only(count: int, sizes: list[int]) -> None:
    batches = list(micro_batches(requests(count)))
    assert [batch.size for batch in batches] == sizes
    assert [request.seed for batch in batches for request in batch.requests] == list(range(5, 5 + count))
    assert all(len(batch.padded) == batch.size for batch in batches)


def test_only_what_fits_together_is_rendered_together() -> None:
    mixed = requests(4) + requests(4, prompt="boy", negative="blurry") + requests(4, steps=10)
    assert [len(batch.requests) for batch in micro_batches(mixed)] == [8, 4]
