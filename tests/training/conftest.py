"""A tiny base model, a folder of pictures with captions, and runs that take a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from charaforge.training.config import TrainingConfig
from charaforge.training.run import prepare
from charaforge.training.setup import Prepared
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_warehouse
from tests.fixtures.tiny_sdxl import tiny_sdxl

MakeConfig = Callable[..., TrainingConfig]
Prepare = Callable[[TrainingConfig], Prepared]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return tiny_warehouse(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_xl(tiny: Warehouse) -> Warehouse:
    """The same warehouse, which also holds tiny-sdxl."""
    tiny_sdxl(tiny.sdxl / "tiny-sdxl")
    return tiny


@pytest.fixture
def tiny_folder(tiny: Warehouse) -> Path:
    return tiny.sd / "tiny-sd"


def write_picture(path: Path, seed: int, size: tuple[int, int] = (64, 64)) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight pictures, one of them tall, with captions."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        write_picture(folder / f"{number}.png", number, (64, 112) if number == 3 else (64, 64))
        (folder / f"{number}.txt").write_text(f"zxq, girl, blue hair, smile, tag{number}\n", encoding="utf-8")
    return folder


@pytest.fixture
def make_config(tiny: Warehouse, pictures: Path, tmp_path: Path) -> MakeConfig:
    def make(**changes: Any) -> TrainingConfig:
        settings = {
            "model_id": "tiny-sd",
            "train_data_dir": pictures,
            "output_dir": tmp_path / "out",
            "character": "zxq",
            "rank": 4,
            "learning_rate": 1e-2,
            "train_batch_size": 4,
            "max_train_steps": 4,
            "caption_variants": 3,
            "tag_dropout": 0.2,
            "mixed_precision": "no",
        }
        return TrainingConfig.model_validate(settings | changes)

    return make


@pytest.fixture
def prepared(tiny: Warehouse) -> Prepare:
    return lambda config: prepare(config, tiny)
