from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from charaforge.diffusion.bundle import load_bundle
from charaforge.generation.generator import Generator
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_controls import tiny_annotator, tiny_controlnet, tiny_ip_adapter
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import TinyRegistry, tiny_warehouse
from tests.fixtures.tiny_unlimited import tiny_unlimited


@pytest.fixture(scope="package")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse with the base tiny-sd, its upscaler, LoRAs, ControlNets, an IP-Adapter and an annotator."""
    warehouse = tiny_warehouse(tmp_path_factory.mktemp("warehouse"))
    bundle = load_bundle(warehouse.sd / "tiny-sd", "tiny-sd")
    for seed, name in enumerate(("charA", "charB"), start=1):
        random_lora(warehouse.lora_folder(name) / f"{name}.safetensors", bundle, seed=seed)
    tiny_controlnet(warehouse.models / "controlnet" / "tiny-pose", bundle, seed=3, uses=("pose",))
    edges = ("canny", "lineart", "depth")
    tiny_controlnet(warehouse.models / "controlnet" / "tiny-edges", bundle, seed=4, uses=edges)
    tiny_ip_adapter(warehouse.models / "ipadapter" / "tiny-face", bundle, seed=5)
    tiny_unlimited(warehouse.sd / "tiny-large")
    tiny_annotator(warehouse.models / "annotators" / "mini-annotator")
    return warehouse


@pytest.fixture
def generator(tiny: Warehouse) -> Generator:
    return Generator(tiny, TinyRegistry(tiny), device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture(scope="package")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures: photo.png (96 x 64), square.png (64 x 64), other.png, mask.png, map.png."""
    folder = tmp_path_factory.mktemp("drawn")
    noise = np.random.default_rng(0)
    for name, size in (("photo", (96, 64)), ("square", (64, 64)), ("other", (64, 64))):
        coarse = Image.fromarray(noise.integers(0, 255, (8, 8, 3), np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((8, 8, 23, 31), fill=255)
    mask.save(folder / "mask.png")
    lines = Image.new("RGB", (64, 64))
    ImageDraw.Draw(lines).line((8, 8, 56, 40), fill="white", width=2)
    lines.save(folder / "map.png")
    return folder
