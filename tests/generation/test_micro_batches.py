from __future__ import annotations

import pytest

from charaforge.generation.micro_batches import micro_batches, runs
from charaforge.requests.generation import GenerationRequest


def requests(count: int, **fields: object) -> list[GenerationRequest]:
    return GenerationRequest.model_validate({"prompt": "girl", "seed": 5, "count": count, **fields}).singles()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (3, [1, 1, 1]), (4, [8]), (8, [8]), (10, [8, 1, 1]), (13, [8, 8]), (16, [8, 8])],
)
def test_sizes_are_8_and_1_only(count: int, sizes: list[int]) -> None:
    batches = list(micro_batches(requests(count), lambda _: 0))
    assert [batch.size for batch in batches] == sizes
    assert [request.seed for batch in batches for request in batch.items] == list(range(5, 5 + count))
    assert all(len(batch.padded) == batch.size for batch in batches)


def test_only_what_fits_together_is_rendered_together() -> None:
    mixed = requests(4) + requests(4, prompt="boy", negative="blurry") + requests(4, steps=10)
    assert [len(run) for run in runs(mixed, lambda request: request)] == [8, 4]


def test_maps_and_seeds_may_differ_within_a_run_but_strengths_may_not() -> None:
    def controlled(image: str, strength: float) -> list[GenerationRequest]:
        return requests(1, controls=[{"type": "canny", "image": image, "strength": strength}])

    alike = controlled("a.png", 0.5) + controlled("b.png", 0.5)
    assert [len(run) for run in runs(alike + controlled("b.png", 0.6), lambda request: request)] == [2, 1]
    plain, masked = ({"image": "a.png", **more} for more in ({}, {"mask": "m.png"}))
    started = requests(1, init=plain) + requests(1, init=masked)
    assert [len(run) for run in runs(started, lambda request: request)] == [1, 1]


def test_prompts_of_another_length_are_rendered_apart_and_a_size_can_be_told() -> None:
    lengths = [77] * 5 + [154] * 2
    assert [(len(b.items), b.size) for b in micro_batches(lengths, int)] == [(5, 8), (1, 1), (1, 1)]
    assert [b.size for b in micro_batches(lengths, int, 8)] == [8, 8]
    assert [b.size for b in micro_batches(lengths, int, 1)] == [1] * 7
