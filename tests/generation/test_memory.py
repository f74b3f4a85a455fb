"""The memory ladder, climbed by errors that are put in where memory runs out for real."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from charaforge.errors import GenerationError
from charaforge.generation import painting
from charaforge.generation.generator import Generator, Way
from charaforge.generation.memory import (
    OFFLOAD,
    SINGLES,
    SLICES,
    TILES,
    apply_rung,
    first_place,
    only,
    ran_out,
    starting_rung,
)
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


class Part:
    """Stands for a part of a model on a device that this machine may not have; it knows where it was put."""

    def __init__(self, place: str, gib: float = 0.0) -> None:
        self.place = torch.device(place)
        self._bytes = int(gib * 2**30)
        self.attn_processors: dict[str, Any] = {}

    def parameters(self) -> Iterator[Any]:
        yield SimpleNamespace(device=self.place, nbytes=self._bytes)

    def to(self, device: torch.device) -> None:
        self.place = device

    def enable_tiling(self) -> None: ...

    disable_tiling = enable_tiling


def parts_on(place: str, gib: float = 0.0, works: str = "cuda:0") -> Any:
    told = {"unet": Part(place, gib), "vae": Part(place), "text_encoders": (Part(place), Part(place))}
    return SimpleNamespace(device=torch.device(works), **told)


def places(bundle: Any) -> list[str]:
    return [part.place.type for part in (bundle.unet, bundle.vae, *bundle.text_encoders)]


def test_from_a_rung_on_only_the_part_at_work_is_on_the_device() -> None:
    bundle = parts_on("cuda:0")
    with only(bundle, "unet", TILES):
        assert places(bundle) == ["cuda"] * 4
    with only(bundle, "vae", OFFLOAD):
        assert places(bundle) == ["cpu", "cuda", "cpu", "cpu"]
    with only(bundle, "text_encoders", OFFLOAD):
        assert places(bundle) == ["cpu", "cpu", "cuda", "cuda"]
    with only(bundle, "unet", SLICES):
        assert places(bundle) == ["cuda", "cpu", "cpu", "cpu"]
    apply_rung(bundle, OFFLOAD)
    assert places(bundle) == ["cuda", "cpu", "cpu", "cpu"]
    apply_rung(bundle, TILES)
    assert places(bundle) == ["cuda"] * 4


@pytest.mark.parametrize(
    ("free_gib", "away_gib", "rung"),
    [(1.0, 0.0, OFFLOAD), (4.0, 0.0, TILES), (40.0, 0.0, 0), (40.0, 39.0, OFFLOAD), (40.0, 5.0, 0)],
)
def test_little_free_memory_starts_further_up(
    monkeypatch: pytest.MonkeyPatch, free_gib: float, away_gib: float, rung: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free_gib * 2**30), 2**36))
    assert starting_rung(parts_on("cpu", away_gib), 1024, 1024) == rung
    assert starting_rung(parts_on("cpu", away_gib, works="cpu"), 1024, 1024) == 0


def test_a_model_that_does_not_fit_is_loaded_beside_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (8 * 2**30, 2**36))
    device = torch.device("cuda", 0)
    assert first_place(device, 4 * 2**30) == device
    assert first_place(device, 7 * 2**30) == torch.device("cpu")
    assert first_place(torch.device("cpu"), 2**40) == torch.device("cpu")
