"""The memory ladder, climbed by errors that are put in where memory runs out for real."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from charaforge.errors import GenerationError
from charaforge.generation import painting
from charaforge.generation.generator import Generator, Way
from charaforge.generation.memory import OFFLOAD, SINGLES, SLICES, TILES, ran_out, starting_rung
from charaforge.generation.outputs import png_bytes
from charaforge.requests.generation import GenerationRequest


def request(**fields: Any) -> GenerationRequest:
    told = {"prompt": "girl", "model": "tiny-sd", "steps": 2, "seed": 7, "width": 64, "height": 64}
    return GenerationRequest.model_validate({**told, **fields})


class Scarce:
    """Lets denoising run out of memory the first `times` times, and with batches larger than `room`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int = 0, room: int = 99) -> None:
        self.left = times
        self.room = room
        self._denoise = painting.denoise
        monkeypatch.setattr(painting, "denoise", self)

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self.left > 0 or len(named["noise"]) > self.room:
            self.left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return self._denoise(*args, **named)


@pytest.mark.parametrize("rung", [TILES, OFFLOAD, SINGLES, SLICES])
def test_each_failure_is_a_rung_which_is_told_and_can_be_done_again(
    generator: Generator, monkeypatch: pytest.MonkeyPatch, rung: int
) -> None:
    plain = generator.generate(request())[0]
    Scarce(monkeypatch, times=rung)
    (image,) = generator.generate(request())
    assert image.run["memory_rung"] == rung
    (again,) = generator.generate_many([request()], way=Way(1, rung))
    assert png_bytes(again) == png_bytes(image)
    assert png_bytes(generator.generate(request())[0]) == png_bytes(plain)  # back on the ground


def test_a_batch_that_does_not_fit_is_rendered_one_by_one(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scarce(monkeypatch, room=1)
    images = generator.generate(request(count=5))
    assert [image.request.seed for image in images] == [7, 8, 9, 10, 11]
    assert {(image.run["memory_rung"], image.run["micro_batch"]) for image in images} == {(SINGLES, 1)}
    assert png_bytes(generator.generate(request(seed=9))[0]) == png_bytes(images[2])


def test_past_the_last_rung_it_is_an_error(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    Scarce(monkeypatch, times=SLICES + 1)
    with pytest.raises(GenerationError, match="memory ran out"):
        generator.generate(request())


def test_other_errors_do_not_climb(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(painting, "denoise", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        generator.generate(request())


def test_what_running_out_looks_like() -> None:
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory"))
    assert ran_out(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not ran_out(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize(("free_gib", "rung"), [(1.0, OFFLOAD), (4.0, TILES), (40.0, 0)])
def test_little_free_memory_starts_further_up(
    monkeypatch: pytest.MonkeyPatch, free_gib: float, rung: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free_gib * 2**30), 2**36))
    assert starting_rung(torch.device("cuda", 0), 1024, 1024) == rung
    assert starting_rung(torch.device("cpu"), 1024, 1024) == 0
