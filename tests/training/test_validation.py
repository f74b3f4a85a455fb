from __future__ import annotations

from pathlib import Path

import pytest

from charaforge.errors import UsageError
from charaforge.training.cache import TensorCache
from charaforge.training.run import run
from charaforge.training.setup import build
from charaforge.training.validation import Validation
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, Prepare


def test_an_unwritable_output_folder_is_refused_before_the_first_step(
    make_config: MakeConfig, tmp_path: Path, tiny: Warehouse
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written to"):
        run(make_config(output_dir=tmp_path / "file" / "out"), tiny)


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-sdxl"])
def test_validation_uses_the_same_noise_every_time(
    make_config: MakeConfig, prepared: Prepare, tiny_xl: Warehouse, tmp_path: Path, model: str
) -> None:
    setup = build(prepared(make_config(model_id=model)), TensorCache(tmp_path / "cache"))
    assert setup.validation.loss(setup.unet, setup.words) == setup.validation.loss(setup.unet, setup.words)
    assert Validation((), (), setup.schedule, 0).loss(setup.unet, setup.words) is None
