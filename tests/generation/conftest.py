from __future__ import annotations

from pathlib import Path

import pytest

from charaforge.diffusion.bundle import load_bundle
from charaforge.generation.generator import Generator
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import TinyRegistry, tiny_warehouse


@pytest.fixture(scope="package")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse with the base tiny-sd, its upscaler, and the LoRAs charA and charB."""
    warehouse = tiny_warehouse(tmp_path_factory.mktemp("warehouse"))
    bundle = load_bundle(warehouse.sd / "tiny-sd", "tiny-sd")
    for seed, name in enumerate(("charA", "charB"), start=1):
        random_lora(warehouse.lora_folder(name) / f"{name}.safetensors", bundle, seed=seed)
    return warehouse


@pytest.fixture
def generator(tiny: Warehouse) -> Generator:
    return Generator(tiny, TinyRegistry(tiny), device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"
