"""Random requests of every kind, rendered here and rendered again by another process: equal files."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from charaforge.errors import UsageError
from charaforge.generation.generator import Generator
from charaforge.generation.outputs import save
from charaforge.generation.reproduce import read_record, reproduce
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.samplers import SAMPLERS
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

KINDS = ("words", "init", "mask", "lines", "pose", "face", "loras", "hires", "variation")


def random_request(rng: random.Random, drawn: Path, kinds: list[str]) -> GenerationRequest:
    """A request that joins the kinds asked for, with random values."""
    picture = str(drawn / f"{rng.choice(('photo', 'square', 'other'))}.png")
    start = {"image": picture, "denoise": rng.uniform(0.3, 1.0)}
    fields: dict[str, dict[str, Any]] = {
        "words": {"prompt": rng.choice(["{blue|red} hair girl", "girl, (smile:1.2)", "red hoodie"])},
        "init": {"init": start},
        "mask": {
            "init": {
                **start,
                "mask": str(drawn / "mask.png"),
                "mask_blur": rng.randint(0, 6),
                "fill": rng.choice(["original", "noise", "blur"]),
                "area": rng.choice(["whole", "whole"]),
            }
        },
        "lines": {"controls": [{"type": "lineart", "image": picture, "strength": rng.uniform(0.2, 1.5)}]},
        "pose": {
            "controls": [{"type": "pose", "keypoints": [[8.0 + 3 * n, 60.0 - 3 * n] for n in range(18)]}]
        },
        "face": {"references": [{"face_ref": picture, "weight": rng.uniform(0.2, 1.5)}]},
        "loras": {"loras": [{"name": "charA", "weight": rng.uniform(-1, 1)}, {"name": "charB"}]},
        "hires": {"hires": {"scale": 2.0, "denoise": 0.6, "steps": rng.randint(1, 4)}},
        "variation": {"variation": {"seed": -1, "strength": rng.random()}},
    }
    told: dict[str, Any] = {"prompt": "girl", "model": "tiny-sd", "width": 64, "height": 64}
    told |= {
        "steps": rng.randint(2, 6),
        "seed": rng.choice([-1, rng.randrange(2**32 - 9)]),
        "guidance": rng.choice([1.0, 5.0]),
        "scheduler": rng.choice(SAMPLERS).name,
        "count": rng.choice([1, 1, 5]),
    }
    for kind in kinds:
        told |= fields[kind]
    return GenerationRequest.model_validate(told)


@pytest.fixture
def plain(tiny: Warehouse) -> Generator:
    """A generator on the registry that the command line uses."""
    return Generator(tiny, Registry(tiny), device="cpu")


def some_requests(drawn: Path, count: int) -> list[GenerationRequest]:
    rng = random.Random(7)
    singles = [[kind] for kind in KINDS]
    joined = [["loras", "face", "lines"], ["mask", "pose", "variation"], ["hires", "lines", "loras"]]
    return [random_request(rng, drawn, (singles + joined)[n % 12]) for n in range(count)]


@pytest.mark.launch
def test_another_process_writes_the_same_files(
    plain: Generator, tiny: Warehouse, drawn: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = some_requests(drawn, 12)
    saved = [save(image, folder) for request in requests for image in plain.generate_many([request])]
    monkeypatch.setenv("AI_CACHE_ROOT", str(tiny.root))
    monkeypatch.setenv("OMP_NUM_THREADS", str(saved_threads(saved[0].metadata_path)))
    command = [sys.executable, "-m", "charaforge.cli.main", "reproduce"]
    done = subprocess.run(
        [*command, *(str(one.image_path) for one in saved)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal, byte for byte") == len(saved)


def saved_threads(sidecar: Path) -> int:
    return int(json.loads(sidecar.read_text(encoding="utf-8"))["run"]["threads"])


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


def test_without_a_sidecar_both_sizes_are_tried(plain: Generator, drawn: Path, folder: Path) -> None:
    request = GenerationRequest(
        prompt="girl", model="tiny-sd", steps=6, seed=3, width=64, height=64, count=5, guidance=9.0
    )
    saved = [save(image, folder) for image in plain.generate(request)]
    for one in saved:
        one.metadata_path.unlink()
        assert reproduce(read_record(one.image_path), plain, ignore).equal


def test_pixels_that_changed_are_found(plain: Generator, folder: Path) -> None:
    request = GenerationRequest(prompt="girl", model="tiny-sd", steps=2, seed=3, width=64, height=64)
    saved = save(plain.generate(request)[0], folder)
    with Image.open(saved.image_path) as opened:
        changed = opened.copy()
        told = PngInfo()
        told.add_text("charaforge", opened.text["charaforge"])  # type: ignore[attr-defined]  # PNG files have it
    red, green, blue = changed.getpixel((5, 5))  # type: ignore[misc]  # it is RGB
    changed.putpixel((5, 5), (red, green, (blue + 3) % 256))
    changed.save(saved.image_path, pnginfo=told)
    verdict = reproduce(read_record(saved.metadata_path), plain, ignore)
    assert (verdict.equal, verdict.same_pixels, verdict.reasons) == (False, False, ())
    assert verdict.largest in (3, 253)


@pytest.mark.parametrize("chunk", ["no json", "[1]", "{}", '{"request": {"prompt": 3}}'])
def test_recipes_that_are_none_are_told(tmp_path: Path, chunk: str) -> None:
    told = PngInfo()
    told.add_text("charaforge", chunk)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=told)
    with pytest.raises(UsageError, match=r"a\.png"):
        _ = read_record(tmp_path / "a.png").request
