import json
import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from charaforge.errors import ModelFileError, UnknownNameError
from charaforge.warehouse import registry as module
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the weights folder of a package that has one embedded base model, mini-sd."""
    weights = tmp_path / "package" / "mini" / "weights"
    make_folder_model(
        weights / "mini-sd", {"name": "mini-sd", "kind": "base", "family": "sd15", "max_side": 128}
    )
    monkeypatch.setattr(module.resources, "files", lambda name: tmp_path / "package")
    return weights


@pytest.fixture
def registry(warehouse: Warehouse, package: Path) -> Registry:
    return Registry(warehouse)


def make_folder_model(folder: Path, card: dict[str, object] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    if card is not None:
        (folder / "card.json").write_text(json.dumps(card))
    return folder


def make_lora(file: Path, **metadata: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": np.zeros(2, np.float32)}, file, metadata=metadata)
    return file


def test_embedded_models_come_first_and_carry_their_card(registry: Registry, warehouse: Warehouse) -> None:
    make_folder_model(warehouse.sdxl / "animagine")
    found = registry.list()
    assert [(entry.name, entry.family, entry.embedded) for entry in found] == [
        ("mini-sd", "sd15", True),
        ("animagine", "sdxl", False),
    ]
    assert found[0].card["max_side"] == 128


def test_unknown_model_names_the_nearest_and_where_a_new_one_goes(
    registry: Registry, warehouse: Warehouse
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.get("mini_sdd", "base")
    assert "did you mean 'mini-sd'?" in caught.value.hint
    assert str(warehouse.sd) in caught.value.hint


def test_unknown_kind_names_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lora'"):
        registry.list("loras")


def test_ids_are_slugs_of_file_names(registry: Registry, warehouse: Warehouse) -> None:
    make_lora(warehouse.lora / "My chara (v2).safetensors", ss_base_model_version="sdxl_base_v1-0")
    entry = registry.get("My-chara-v2", "lora")
    assert (entry.path.name, entry.family) == ("My chara (v2).safetensors", "sdxl")


def test_a_lora_folder_is_one_model_with_checkpoints_by_step(
    registry: Registry, warehouse: Warehouse
) -> None:
    folder = warehouse.lora_folder("charA_v1")
    make_lora(folder / "charA_v1.safetensors", ss_base_model_version="sd_v1")
    make_lora(folder / "checkpoints" / "charA_v1-step00001000.safetensors")
    assert [entry.name for entry in registry.list("lora")] == ["charA_v1"]
    assert registry.get("charA_v1@1000", "lora").path.name == "charA_v1-step00001000.safetensors"
    with pytest.raises(UnknownNameError, match="charA_v1@1000"):
        registry.get("charA_v1@900", "lora")


def test_an_embedded_model_hides_one_of_the_same_name(registry: Registry, warehouse: Warehouse) -> None:
    make_folder_model(warehouse.sd / "mini-sd")
    assert registry.get("mini-sd", "base").embedded


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
def test_pickles_are_refused_by_name(registry: Registry, warehouse: Warehouse, suffix: str) -> None:
    (warehouse.sd / f"evil{suffix}").write_bytes(b"x")
    assert "evil" not in [entry.name for entry in registry.list("base")]
    with pytest.raises(ModelFileError, match="pickle"):
        registry.get("evil", "base")


def test_a_broken_file_does_not_hide_the_others(
    registry: Registry, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    (warehouse.lora / "cut.safetensors").write_bytes(
        make_lora(warehouse.lora / "fine.safetensors").read_bytes()[:20]
    )
    with caplog.at_level(logging.WARNING, logger="charaforge"):
        assert [entry.name for entry in registry.list("lora")] == ["fine"]
    assert "cut.safetensors" in caplog.text
    with pytest.raises(ModelFileError, match=r"cut\.safetensors"):
        registry.get("cut", "lora")


def test_hidden_and_foreign_files_are_no_models(registry: Registry, warehouse: Warehouse) -> None:
    make_lora(warehouse.lora / ".half.tmp.safetensors")
    (warehouse.lora / "notes.txt").write_text("x")
    (warehouse.lora / "empty").mkdir()
    assert registry.list("lora") == []


def test_a_link_made_by_the_owner_counts(registry: Registry, warehouse: Warehouse, tmp_path: Path) -> None:
    (warehouse.sd / "linked").symlink_to(make_folder_model(tmp_path / "elsewhere"))
    assert registry.get("linked", "base").family == "sd15"
