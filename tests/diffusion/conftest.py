from __future__ import annotations

from pathlib import Path

import pytest

from charaforge.diffusion.bundle import Bundle, load_bundle
from tests.fixtures.tiny_models import tiny_sd


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd(tmp_path_factory.mktemp("models") / "tiny-sd")


@pytest.fixture
def bundle(tiny_folder: Path) -> Bundle:
    return load_bundle(tiny_folder, "tiny-sd")
