from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_format import read_lora, write_lora
from charaforge.diffusion.lora_header import describe
from charaforge.errors import ModelFileError
from tests.fixtures.tiny_loras import random_layers, random_lora


def test_a_file_comes_back_as_it_was_written(bundle: Bundle, tmp_path: Path) -> None:
    layers = random_layers(bundle, seed=1, mixed=True)
    write_lora(tmp_path / "a.safetensors", layers, {"ss_network_dim": "4"})
    read = read_lora(tmp_path / "a.safetensors")
    assert read.layers.keys() == layers.keys()
    for name, layer in layers.items():
        assert torch.equal(read.layers[name].down, layer.down)
        assert torch.equal(read.layers[name].up, layer.up)
        assert (read.layers[name].alpha, read.layers[name].rank) == (layer.alpha, layer.rank)
    assert read.metadata["ss_network_dim"] == "4"


def test_keys_are_kohyas(bundle: Bundle, tmp_path: Path) -> None:
    keys = set(load_file(random_lora(tmp_path / "a.safetensors", bundle, seed=1)))
    assert {
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
        "lora_unet_up_blocks_0_resnets_1_conv1.lora_up.weight",
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj.alpha",
    } <= keys


def test_the_same_lora_is_the_same_file(bundle: Bundle, tmp_path: Path) -> None:
    first = random_lora(tmp_path / "a" / "x.safetensors", bundle, seed=1)
    second = random_lora(tmp_path / "b" / "x.safetensors", bundle, seed=1)
    assert first.read_bytes() == second.read_bytes()


def test_the_header_says_what_the_lora_is_for(bundle: Bundle, tmp_path: Path) -> None:
    lora = read_lora(random_lora(tmp_path / "charA.safetensors", bundle, seed=1))
    assert lora.metadata["ss_sd_model_name"] == "tiny-sd"
    assert lora.metadata["ss_new_sd_model_hash"] == bundle.sha256
    assert lora.metadata["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert lora.metadata["modelspec.hash_sha256"] == f"0x{lora.tensors_sha256}"
    assert lora.placeholders == {"character": "zxq", "outfit": "red hoodie"}
    assert "tiny-sd" in lora.base


def test_extra_keys_are_text_or_json() -> None:
    told = describe(
        title="a",
        base_name="b",
        base_sha256="c",
        side=64,
        prediction="epsilon",
        rank=4,
        alpha=2.0,
        placeholders={},
        extra={"ss_steps": 100, "ss_tag_frequency": {"x": {"girl": 3}}, "ss_seed": "7"},
    )
    assert (told["ss_steps"], told["ss_seed"]) == ("100", "7")
    assert json.loads(told["ss_tag_frequency"]) == {"x": {"girl": 3}}
    assert all(isinstance(value, str) for value in told.values())


@pytest.mark.parametrize(
    ("key", "shape", "told"),
    [
        ("lora_unet_x.hada_w1_a", (4, 4), "lacks hada_w1_b"),
        ("lora_unet_x.dora_scale", (4, 4), "holds dora_scale, which is no update"),
        ("lora_unet_x.diff_b", (4,), "no part of a LoRA"),
        ("lora_unet_x.oft_blocks", (4, 4), "no part of a LoRA"),
        ("emb_params", (4, 4), "no part of a LoRA"),
        ("unet.x.lora_A.weight", (4, 4), r"lacks lora_up\.weight"),
        ("lora_unet_x.lora_up.weight", (4, 4), r"lacks lora_down\.weight"),
    ],
)
def test_other_kinds_of_files_are_refused(
    tmp_path: Path, key: str, shape: tuple[int, ...], told: str
) -> None:
    save_file({key: torch.zeros(shape)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelFileError, match=told):
        read_lora(tmp_path / "a.safetensors")


def test_mismatched_halves_a_missing_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_lora(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_lora(file)
    save_file(
        {"lora_unet_x.lora_down.weight": torch.zeros(4, 8), "lora_unet_x.lora_up.weight": torch.zeros(8, 2)},
        file,
    )
    with pytest.raises(ModelFileError, match=r"\(4, 8\) and lora_up \(8, 2\)"):
        read_lora(file)
