from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from charaforge.errors import BlockedError, ModelFileError, UnknownNameError
from charaforge.generation.generator import Generator
from charaforge.generation.outputs import save
from charaforge.perception.safety import SafetyChecker
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import TinyRegistry
from tests.fixtures.tiny_safety import tiny_safety


def request(**fields: Any) -> GenerationRequest:
    told = {"prompt": "girl", "model": "tiny-sd", "steps": 2, "seed": 7, "width": 64, "height": 64}
    return GenerationRequest.model_validate({**told, **fields})


@pytest.fixture
def blocked(generator: Generator) -> Image.Image:
    return generator.generate(request())[0].image


def test_a_blocked_concept_is_never_written(
    tiny: Warehouse,
    generator: Generator,
    blocked: Image.Image,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_safety(tiny.models / "safety" / "tiny-safety", blocked, "girls of seed 7")
    guarded = Generator(tiny, TinyRegistry(tiny), device="cpu", safety=True)
    given_out = guarded.generate_many([request(seed=6, scheduler="ddim"), request()])
    with pytest.raises(BlockedError, match="girls of seed 7"):
        _ = [save(image, folder) for image in given_out]
    assert [path.name for path in sorted(folder.glob("*"))] == ["0001.json", "0001.png"]  # seed 6 only
    assert generator.generate(request())[0].image.tobytes() == blocked.tobytes()  # off: as ever
    monkeypatch.setenv("API_SAFETY", "on")
    with pytest.raises(BlockedError):
        Generator(tiny, TinyRegistry(tiny), device="cpu").generate(request())
    by_name = Generator(tiny, TinyRegistry(tiny), device="cpu", safety="tiny-safety")
    with pytest.raises(BlockedError):
        by_name.generate(request())


def test_a_filter_that_is_on_but_not_there_lets_nothing_through(tiny: Warehouse) -> None:
    with pytest.raises(UnknownNameError, match="safety"):
        Generator(tiny, TinyRegistry(tiny), device="cpu", safety="nobody").generate(request())


def test_special_care_lowers_the_thresholds(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8))
    checker = SafetyChecker(tiny_safety(tmp_path / "strict", picture, "it", threshold=1.005))
    assert checker.check(picture) == []  # a cosine never reaches 1.005
    found = SafetyChecker(tiny_safety(tmp_path / "usual", picture, "it")).check(picture)
    assert [concept.name for concept in found] == ["it"]
    assert found[0].excess == pytest.approx(0.001, abs=1e-4)


def test_broken_checkers_are_told(tmp_path: Path) -> None:
    picture = Image.new("RGB", (32, 32))
    folder = tiny_safety(tmp_path / "broken", picture, "it")
    (folder / "concepts.json").write_text('["one"]')
    with pytest.raises(ModelFileError, match="1 names for 2"):
        SafetyChecker(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match="cannot be opened"):
        SafetyChecker(folder)
