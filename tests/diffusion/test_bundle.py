from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from charaforge.diffusion.bundle import Bundle, fingerprint, load_bundle
from charaforge.diffusion.prompts import encode_prompt
from charaforge.errors import ModelFileError
from tests.fixtures.tiny_models import tiny_sd


def test_a_bundle_knows_its_shapes(bundle: Bundle) -> None:
    assert (bundle.latent_channels, bundle.latent_factor, bundle.latent_scaling) == (8, 8, 1.0)
    assert (bundle.dtype, bundle.device.type) == (torch.float32, "cpu")
    assert bundle.schedule.prediction == "v_prediction"
    assert not any(p.requires_grad for p in bundle.unet.parameters())


def test_the_fingerprint_follows_the_weights_and_not_the_card(tmp_path: Path) -> None:
    first, second = tiny_sd(tmp_path / "a"), tiny_sd(tmp_path / "b", name="other")
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(tiny_sd(tmp_path / "c", seed=1))


def test_prompts_are_padded_to_77_and_seen(bundle: Bundle) -> None:
    states = encode_prompt(bundle, "blue hair girl").states
    assert states.shape == (1, 77, 32)
    assert torch.isfinite(states).all()
    assert not torch.equal(states, encode_prompt(bundle, "red hair girl").states)


@pytest.mark.parametrize("part", ["unet", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(tiny_folder: Path, tmp_path: Path, part: str) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    shutil.rmtree(copy / part)
    with pytest.raises(ModelFileError, match=f"lacks {part}"):
        load_bundle(copy, "copy")


def test_broken_weights_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(ModelFileError, match="copy"):
        load_bundle(copy, "copy")


def test_pickles_are_not_read(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelFileError):
        load_bundle(copy, "copy")


def test_another_kind_of_pipeline_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_folder, tmp_path / "copy")
    (copy / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}), encoding="utf-8")
    with pytest.raises(ModelFileError, match="FluxPipeline"):
        load_bundle(copy, "copy")
    with pytest.raises(ModelFileError, match=r"model_index\.json"):
        load_bundle(tmp_path, "nothing")
