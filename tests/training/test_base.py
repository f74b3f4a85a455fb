"""The base of a run: found, of either family, and taken for what it predicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from charaforge.diffusion.bundle import load_bundle
from charaforge.diffusion.single_file_export import write_single_file
from charaforge.errors import ModelFileError, UnknownNameError, UsageError
from charaforge.training.base import Base
from charaforge.training.loss import Objective
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, Prepare


@pytest.fixture
def xl_folder(tiny_xl: Warehouse) -> Path:
    return tiny_xl.sdxl / "tiny-sdxl"


def test_a_base_is_found_by_name_or_path_and_a_wrong_one_is_told(
    make_config: MakeConfig, prepared: Prepare, tiny_folder: Path
) -> None:
    by_name = prepared(make_config()).base
    by_path = prepared(make_config(model_id=str(tiny_folder))).base
    assert by_name.bundle.sha256 == by_path.bundle.sha256
    assert (by_name.resolution, by_name.multiple, by_name.license) == (64, 16, "Apache-2.0")
    with pytest.raises(UnknownNameError, match="did you mean 'tiny-sd'"):
        prepared(make_config(model_id="tinysd2"))


def test_sdxl_is_a_base_as_folder_and_as_single_file(
    make_config: MakeConfig, prepared: Prepare, xl_folder: Path, tmp_path: Path
) -> None:
    folder = prepared(make_config(model_id="tiny-sdxl")).base
    assert (folder.bundle.family, folder.resolution, folder.notes) == ("sdxl", 64, ())
    assert folder.bundle.schedule.prediction == "epsilon"
    write_single_file(tmp_path / "xl.safetensors", folder.bundle)
    single = prepared(make_config(model_id=str(tmp_path / "xl.safetensors"), resolution=64)).base
    assert (single.bundle.family, single.bundle.name) == ("sdxl", "xl")


def test_a_pickle_is_no_base(make_config: MakeConfig, prepared: Prepare, tiny_xl: Warehouse) -> None:
    (tiny_xl.sdxl / "old.ckpt").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="pickle"):
        prepared(make_config(model_id="old"))


def velocity(folder: Path, to: Path) -> Path:
    """Write the single file of an SDXL base of v-prediction with zero terminal SNR, as NoobAI's is."""
    card = {"prediction_type": "v_prediction", "zero_terminal_snr": True}
    write_single_file(to, load_bundle(folder, "noob", card=card))
    return to


def test_a_v_prediction_base_is_known_without_any_flag(
    make_config: MakeConfig, prepared: Prepare, xl_folder: Path, tmp_path: Path
) -> None:
    file = velocity(xl_folder, tmp_path / "noob.safetensors")
    base = prepared(make_config(model_id=str(file), resolution=64)).base
    assert base.bundle.schedule.prediction == "v_prediction"
    assert base.bundle.schedule.zero_terminal_snr
    assert base.bundle.scheduler_config["timestep_spacing"] == "trailing"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prediction_type": "epsilon"}, "prediction_type: epsilon, but noob says v_prediction"),
        ({"zero_terminal_snr": False}, "zero_terminal_snr: false, but noob says true"),
    ],
)
def test_contradicting_what_a_v_prediction_base_says_is_refused(
    make_config: MakeConfig,
    prepared: Prepare,
    xl_folder: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    told: str,
) -> None:
    file = velocity(xl_folder, tmp_path / "noob.safetensors")
    with pytest.raises(UsageError, match=told) as caught:
        prepared(make_config(model_id=str(file), resolution=64, **changes))
    assert "card.json" in caught.value.hint


def test_zero_terminal_snr_is_refused_for_a_base_that_predicts_noise(
    make_config: MakeConfig, prepared: Prepare, tiny_xl: Warehouse
) -> None:
    with pytest.raises(UsageError, match="zero_terminal_snr: true, but tiny-sdxl predicts noise"):
        prepared(make_config(model_id="tiny-sdxl", zero_terminal_snr=True))
    config = make_config(model_id="tiny-sdxl", scale_v_pred_loss_like_noise_pred=True)
    schedule = prepared(config).base.bundle.schedule
    with pytest.raises(UsageError, match="v-prediction; this one predicts noise"):
        Objective(config, schedule)


def silent(folder: Path, to: Path) -> Path:
    """Write a copy of a base whose files do not say what it predicts."""
    shutil.copytree(folder, to)
    file = to / "scheduler" / "scheduler_config.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    del told["prediction_type"]
    file.write_text(json.dumps(told), encoding="utf-8")
    return to


def test_a_silent_base_is_taken_for_what_the_configuration_says_and_that_is_noted(
    make_config: MakeConfig, prepared: Prepare, xl_folder: Path, tmp_path: Path
) -> None:
    model = str(silent(xl_folder, tmp_path / "silent"))

    def base(**changes: Any) -> Base:
        return prepared(make_config(model_id=model, **changes)).base

    assert base().bundle.schedule.prediction == "epsilon"
    told = base(prediction_type="v_prediction", zero_terminal_snr=True)
    assert told.bundle.schedule.prediction == "v_prediction"
    assert told.bundle.schedule.zero_terminal_snr
    assert '{"prediction_type": "v_prediction", "zero_terminal_snr": true}' in told.notes[0]
