"""Models from the disk come in by link or copy; `verify` and `rm` look after them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from charaforge.cli.main import main
from charaforge.errors import ModelFileError, UsageError
from charaforge.warehouse.intake import Wish, add
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.model_files import chosen_files
from charaforge.warehouse.registry import Registry


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "disk" / "My base"
    (folder / "unet").mkdir(parents=True)
    save_file({"a": np.zeros(4, np.float32)}, folder / "unet" / "diffusion_pytorch_model.safetensors")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    (folder / "old.ckpt").write_bytes(b"x")
    return folder


def tensor_file(file: Path, *keys: str, **metadata: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: np.zeros(2, np.float32) for key in keys or ("a",)}, file, metadata=metadata)
    return file


@pytest.mark.parametrize("copy", [False, True])
def test_a_folder_comes_in(warehouse: Warehouse, base: Path, copy: bool) -> None:
    folder = add(warehouse, base, Wish(), copy=copy)
    entry = Registry(warehouse).get("My-base", "base")
    assert entry.path == folder == warehouse.sd / "My-base"
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert weights.is_symlink() is not copy
    assert set(entry.card["files"]) == {"model_index.json", "unet/diffusion_pytorch_model.safetensors"}
    assert not (folder / "old.ckpt").exists()
    with pytest.raises(UsageError, match="already"):
        add(warehouse, base, Wish())


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("cond_stage_model.transformer.x", "sd15"),
        ("conditioner.embedders.0.transformer.x", "sdxl"),
    ],
)
def test_a_single_file_base_is_put_where_its_family_lies(
    warehouse: Warehouse, tmp_path: Path, key: str, family: str
) -> None:
    file = tensor_file(tmp_path / "big model.safetensors", key)
    folder = add(warehouse, file, Wish(kind="base"))
    assert folder == (warehouse.sdxl if family == "sdxl" else warehouse.sd) / "big-model"
    assert Registry(warehouse).get("big-model", "base").family == family


def test_a_lora_keeps_its_family_and_gets_the_models_name(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tensor_file(tmp_path / "x.safetensors", ss_base_model_version="sdxl_base_v1-0")
    add(warehouse, file, Wish(kind="lora", name="hero"))
    entry = Registry(warehouse).get("hero", "lora")
    assert (entry.family, entry.card["ss_base_model_version"]) == ("sdxl", "sdxl_base_v1-0")
    assert (entry.path / "hero.safetensors").is_file()


def test_what_cannot_come_in(warehouse: Warehouse, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="pickle"):
        add(warehouse, base / "old.ckpt", Wish(kind="base"))
    with pytest.raises(UsageError, match="not there"):
        add(warehouse, tmp_path / "nowhere", Wish())
    with pytest.raises(UsageError, match="--kind"):
        add(warehouse, tensor_file(tmp_path / "y.safetensors"), Wish())
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(b"\xff" * 20)
    with pytest.raises(ModelFileError, match="cut off"):
        add(warehouse, cut, Wish(kind="vae"))
    assert [entry for entry in Registry(warehouse).list("vae") if not entry.embedded] == []
    (base / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelFileError, match="FluxPipeline"):
        add(warehouse, base, Wish())
    with pytest.raises(ModelFileError, match="do not trust"):
        chosen_files(["../evil.safetensors"], ["../evil.safetensors"], "some/model")


def test_files_named_by_folder_lose_the_parent_they_share() -> None:
    names = ["models/ip.safetensors", "models/image_encoder/model.safetensors", "models/more.safetensors"]
    chosen = chosen_files(names, ["models/ip.safetensors", "models/image_encoder"], "some/adapter")
    assert chosen == {
        "models/ip.safetensors": "ip.safetensors",
        "models/image_encoder/model.safetensors": "image_encoder/model.safetensors",
    }


def test_verify_and_rm(warehouse: Warehouse, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "add", str(base), "--name", "mine"]) == 0
    assert main(["models", "verify", "mine"]) == 0
    assert "ok, 2 files" in capsys.readouterr().out
    tensor_file(base / "unet" / "diffusion_pytorch_model.safetensors", "changed")
    assert main(["models", "verify"]) == 1
    assert "is not as it came" in capsys.readouterr().out
    assert main(["models", "verify", "mina"]) == 2
    assert "did you mean 'mine'" in capsys.readouterr().err
    assert main(["models", "rm", "mine"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["models", "rm", "mine", "--yes"]) == 0
    assert not (warehouse.sd / "mine").exists()
    assert (base / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    assert main(["models", "rm", "mini-sd", "--yes"]) == 2
    assert "comes with the package" in capsys.readouterr().err


def test_a_missing_file_is_found(
    warehouse: Warehouse, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "add", str(base), "--copy"]) == 0
    (warehouse.sd / "My-base" / "model_index.json").unlink()
    assert main(["models", "verify", "My-base"]) == 1
    assert "is missing" in capsys.readouterr().out
