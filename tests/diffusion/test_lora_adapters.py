"""LoRAs act as their files say, as in plain diffusers, and leave no trace."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.lora_adapters import activate, attach, detach, read_adapter
from charaforge.diffusion.lora_format import LoraFile, read_lora, write_lora
from charaforge.diffusion.lora_names import layer_paths
from charaforge.diffusion.lora_updates import LoraLayer
from charaforge.diffusion.prompts import encode_prompt
from charaforge.errors import ModelFileError
from tests.fixtures.tiny_loras import random_layers, random_lora

PROMPT = "blue hair girl"
LATENTS = torch.randn((1, 8, 8, 8), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def output(bundle: Bundle) -> Tensor:
    states = encode_prompt(bundle, PROMPT).states
    prediction: Tensor = bundle.unet(LATENTS, torch.tensor(500), states).sample
    return prediction


def lora_at(bundle: Bundle, path: Path, **options: Any) -> LoraFile:
    return read_lora(random_lora(path, bundle, **options))


@pytest.fixture
def quiet_diffusers() -> Iterator[None]:
    diffusers_logging.disable_progress_bar()
    yield
    diffusers_logging.enable_progress_bar()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("quiet_diffusers")
def test_a_lora_acts_as_in_plain_diffusers(
    bundle: Bundle, tiny_folder: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    lora = lora_at(bundle, tmp_path / "charA.safetensors", seed=1, dtype=dtype)
    before = output(bundle)
    attach(bundle, lora, "charA")
    activate(bundle, {"charA": 0.7})
    ours = output(bundle)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_folder, local_files_only=True)
    pipe.load_lora_weights(str(tmp_path), weight_name="charA.safetensors", adapter_name="charA")
    pipe.set_adapters(["charA"], [0.7])
    theirs = output(
        Bundle(
            "plain",
            "sd15",
            pipe.unet,
            pipe.vae,
            (pipe.text_encoder,),
            (pipe.tokenizer,),
            bundle.schedule,
            {},
            bundle.sha256,
            bundle.device,
        )
    )
    assert float((ours - before).abs().max()) > 0.05
    assert float((ours - theirs).abs().max()) <= 1e-5


def test_every_layer_acts_as_the_file_says(bundle: Bundle, tiny_folder: Path, tmp_path: Path) -> None:
    """Against weights with the update added by hand; ranks and alphas differ from layer to layer."""
    lora = lora_at(bundle, tmp_path / "charA.safetensors", seed=1, mixed=True)
    attach(bundle, lora, "charA")
    activate(bundle, {"charA": 0.7})
    by_hand = load_bundle(tiny_folder, "by-hand")
    for name, (model, path) in layer_paths(by_hand).items():
        if name in lora.layers:
            module = model.get_submodule(path)
            assert isinstance(module, nn.Linear | nn.Conv2d)
            module.weight.data += 0.7 * full_update(lora.layers[name]).view_as(module.weight)
    assert float((output(bundle) - output(by_hand)).abs().max()) <= 2e-5


def full_update(layer: LoraLayer) -> Tensor:
    product = layer.up.flatten(1) @ layer.down.flatten(1)
    return product * layer.alpha / layer.rank


def test_loras_leave_no_trace(bundle: Bundle, tmp_path: Path) -> None:
    plain = output(bundle)
    attach(bundle, lora_at(bundle, tmp_path / "a.safetensors", seed=1), "a")
    attach(bundle, lora_at(bundle, tmp_path / "b.safetensors", seed=2, mixed=True), "b")
    assert torch.equal(output(bundle), plain)
    seen = []
    for weights in ({"a": 1.0}, {"b": 0.5}, {"a": 1.0}, {"a": 0.3, "b": 0.5}, {"a": 1.0}, {}):
        activate(bundle, weights)
        seen.append(output(bundle))
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[0], seen[4])
    assert torch.equal(seen[5], plain)
    assert not torch.allclose(seen[0], seen[1], atol=1e-2)
    assert not torch.allclose(seen[0], seen[3], atol=1e-2)
    detach(bundle, "a")
    activate(bundle, {"b": 0.5})
    assert torch.equal(output(bundle), seen[1])
    detach(bundle, "b")
    assert torch.equal(output(bundle), plain)


def test_an_adapter_is_read_back_as_it_was_attached(bundle: Bundle, tmp_path: Path) -> None:
    lora = lora_at(bundle, tmp_path / "a.safetensors", seed=1, mixed=True)
    attach(bundle, lora, "a")
    write_lora(tmp_path / "again.safetensors", read_adapter(bundle, "a"), {})
    assert read_lora(tmp_path / "again.safetensors").tensors_sha256 == lora.tensors_sha256


def test_newer_text_encoder_names_are_understood(bundle: Bundle, tmp_path: Path) -> None:
    lora = lora_at(bundle, tmp_path / "a.safetensors", seed=1)
    renamed = {name.replace("lora_te_", "lora_te1_"): layer for name, layer in lora.layers.items()}
    write_lora(tmp_path / "b.safetensors", renamed, {})
    attach(bundle, read_lora(tmp_path / "b.safetensors"), "b")
    assert read_adapter(bundle, "b").keys() == lora.layers.keys()


def test_a_lora_without_a_matching_layer_names_its_base(bundle: Bundle, tmp_path: Path) -> None:
    layer = LoraLayer(torch.zeros(4, 8), torch.zeros(8, 4), 4.0)
    write_lora(
        tmp_path / "x.safetensors",
        {"lora_unet_input_blocks_4_1_proj_in": layer},
        {"ss_sd_model_name": "big-xl"},
    )
    with pytest.raises(ModelFileError, match="made for big-xl"):
        attach(bundle, read_lora(tmp_path / "x.safetensors"), "x")


def test_a_lora_of_another_width_leaves_the_bundle_as_it_was(bundle: Bundle, tmp_path: Path) -> None:
    plain = output(bundle)
    name = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    wide = {**random_layers(bundle, seed=1), name: LoraLayer(torch.ones(4, 768), torch.ones(768, 4), 4.0)}
    write_lora(tmp_path / "x.safetensors", wide, {"ss_base_model_version": "sd_v1"})
    with pytest.raises(ModelFileError, match=r"\(768, 768\).*\(32, 32\).*sd_v1"):
        attach(bundle, read_lora(tmp_path / "x.safetensors"), "x")
    assert torch.equal(output(bundle), plain)
    assert not read_adapter(bundle, "x")


def test_a_partly_matching_lora_is_told_about(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = {
        **random_layers(bundle, seed=1),
        "lora_unet_elsewhere": LoraLayer(torch.ones(4, 8), torch.ones(8, 4), 4.0),
    }
    write_lora(tmp_path / "x.safetensors", more, {})
    with caplog.at_level(logging.WARNING, logger="charaforge"):
        attach(bundle, read_lora(tmp_path / "x.safetensors"), "x")
    assert "1 layers of the LoRA are not in tiny-sd: lora_unet_elsewhere" in caplog.text
