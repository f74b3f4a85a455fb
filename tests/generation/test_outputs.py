from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from charaforge.generation.generator import Generator
from charaforge.generation.outputs import new_folder, save
from charaforge.generation.provenance import GeneratedImage
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse


@pytest.fixture
def image(generator: Generator) -> GeneratedImage:
    request = GenerationRequest(prompt="girl, 東京", model="tiny-sd", steps=2, seed=7, width=64, height=64)
    return generator.generate(request)[0]


def test_the_png_holds_the_recipe_and_the_sidecar_the_rest(image: GeneratedImage, folder: Path) -> None:
    saved = save(image, folder, {"job_id": "j1", "elapsed_ms": 12})
    assert (saved.image_path, saved.metadata_path) == (folder / "0001.png", folder / "0001.json")
    with Image.open(saved.image_path) as opened:
        chunks = opened.text  # type: ignore[attr-defined]  # PNG files have it
    recipe = json.loads(chunks["charaforge"])
    assert chunks["parameters"].startswith("girl, 東京\nSteps: 2, Sampler: DPM++ 2M, Schedule type: DDIM")
    assert set(chunks) == {"parameters", "charaforge"}
    sidecar = json.loads(saved.metadata_path.read_text(encoding="utf-8"))
    assert {key: sidecar[key] for key in recipe} == recipe
    assert sidecar["sha256"] == hashlib.sha256(saved.image_path.read_bytes()).hexdigest()
    assert (sidecar["job_id"], sidecar["elapsed_ms"], sidecar["image"]) == ("j1", 12, "0001.png")
    assert sidecar["run"]["micro_batch"] == 1
    assert GenerationRequest.model_validate(recipe["request"]).seed == 7


def test_nothing_of_time_or_place_gets_into_the_png(image: GeneratedImage, tmp_path: Path) -> None:
    files = [save(image, tmp_path / name, {"job_id": name}).image_path for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_pictures_are_numbered_on_and_never_overwritten(image: GeneratedImage, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "0041.png").write_bytes(b"mine")
    (folder / "notes.png").write_bytes(b"mine")
    assert save(image, folder).image_path.name == "0042.png"
    assert save(image, folder).image_path.name == "0043.png"
    assert (folder / "0041.png").read_bytes() == b"mine"


def test_several_who_write_into_one_folder_lose_nothing(image: GeneratedImage, folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda number: save(image, folder, {"number": number}), range(24)))
    assert len({one.image_path for one in saved}) == 24
    told = [json.loads(one.metadata_path.read_text(encoding="utf-8"))["number"] for one in saved]
    assert told == list(range(24))


def test_folders_are_dated_in_utc(tiny: Warehouse) -> None:
    folder = new_folder(tiny, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert folder.parent == tiny.outputs / "2026-01-02"
    assert re.fullmatch(r"030405-[0-9a-f]{6}", folder.name)
