"""Fifty random requests on each base of the mini family, rendered again by another process: equal files."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from charaforge.diffusion.bundle import load_bundle
from charaforge.generation.generator import Generator
from charaforge.generation.outputs import save
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry
from tests.fixtures.tiny_loras import random_lora
from tests.generation.test_reproduce import KINDS, random_request, saved_threads

REQUESTS = 50
NEEDS_NETS = ("lines", "pose", "face")  # there are none for SDXL in the mini family
BASES = [entry.name for entry in Registry(Warehouse(Path("none"))).list("base")]


@pytest.mark.slow
@pytest.mark.launch
@pytest.mark.parametrize("model", BASES)
def test_another_process_writes_the_same_files(
    model: str, warehouse: Warehouse, drawn: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(warehouse)
    base = registry.get(model, "base")
    bundle = load_bundle(base.path, model)
    for seed, name in enumerate(("charA", "charB"), start=1):
        random_lora(warehouse.lora_folder(name) / f"{name}.safetensors", bundle, seed=seed)
    generator = Generator(warehouse, registry, device="cpu")
    requests = mini_requests(model, base.family, drawn)
    saved = [save(image, folder) for request in requests for image in generator.generate(request)]
    monkeypatch.setenv("OMP_NUM_THREADS", str(saved_threads(saved[0].metadata_path)))
    command = [sys.executable, "-m", "charaforge.cli.main", "reproduce"]
    files = [str(one.image_path) for one in saved]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal, byte for byte") == len(saved) >= REQUESTS


def mini_requests(model: str, family: str, drawn: Path) -> list[GenerationRequest]:
    """Requests of every kind that the family has nets for, one by one and joined."""
    rng = random.Random(50)
    usable = [kind for kind in KINDS if family == "sd15" or kind not in NEEDS_NETS]
    joined = [["mask", "variation"], ["hires", "loras"], ["loras", "face", "lines"], ["mask", "pose"]]
    kinds = [[kind] for kind in usable] + [part for part in joined if set(part) <= set(usable)]
    native = {"model": model, "width": 128, "height": 128}
    asked = (random_request(rng, drawn, kinds[n % len(kinds)]) for n in range(REQUESTS))
    return [GenerationRequest.model_validate(one.model_dump() | native) for one in asked]
