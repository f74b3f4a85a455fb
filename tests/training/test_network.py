from __future__ import annotations

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from charaforge.training.config import TrainingConfig
from charaforge.training.network import Adapter, text_targets, unet_targets
from tests.training.conftest import MakeConfig, Prepare


@pytest.fixture(scope="module")
def sd15() -> tuple[UNet2DConditionModel, CLIPTextModel]:
    """The real architecture of SD1.5, without weights."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
        text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12))
    return unet, text


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig.model_validate({"train_data_dir": "a", "output_dir": "b", "rank": 16} | changes)


def test_the_layers_of_sd15_are_those_that_kohya_trains(sd15: tuple[nn.Module, nn.Module]) -> None:
    unet, text = sd15
    names = {target.name for target in unet_targets(unet, config())}
    assert len(names) == 192
    block = "lora_unet_down_blocks_0_attentions_0"
    for leaf in ("proj_in", "transformer_blocks_0_attn1_to_q", "transformer_blocks_0_attn2_to_out_0"):
        assert f"{block}_{leaf}" in names
    assert f"{block}_transformer_blocks_0_ff_net_0_proj" in names
    words = {target.name for target in text_targets(text, "text_encoder", unet.config, config())}
    assert len(words) == 72
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj" in words
    assert "lora_te_text_model_encoder_layers_11_mlp_fc2" in words


def test_conv_rank_adds_the_convolutions(sd15: tuple[nn.Module, nn.Module]) -> None:
    found = unet_targets(sd15[0], config(conv_rank=4, conv_alpha=1))
    targets = {target.path: (target.rank, target.alpha) for target in found}
    assert targets["down_blocks.0.resnets.0.conv1"] == (4, 1.0)
    assert targets["down_blocks.0.downsamplers.0.conv"] == (4, 1.0)
    assert targets["up_blocks.1.resnets.0.conv_shortcut"] == (16, 8.0)
    assert targets["down_blocks.0.attentions.0.proj_in"] == (16, 8.0)
    assert "conv_in" not in targets


def test_an_untrained_adapter_changes_nothing_and_freezes_the_base(
    make_config: MakeConfig, prepared: Prepare
) -> None:
    run = prepared(make_config(conv_rank=2))
    unet, side = run.base.bundle.unet, run.base.bundle.latent_channels
    inputs = torch.randn(1, side, 8, 8), torch.tensor([500]), torch.randn(1, 77, 32)
    before = unet(*inputs).sample
    adapter = Adapter(unet, [], run.config, torch.float32)
    assert torch.equal(unet(*inputs).sample, before)
    trained = {name for name, weight in unet.named_parameters() if weight.requires_grad}
    assert all("lora_" in name for name in trained)
    assert sum(w.numel() for w in unet.parameters() if w.requires_grad) == adapter.size


def test_in_low_precision_the_trained_weights_stay_float32(
    make_config: MakeConfig, prepared: Prepare
) -> None:
    run = prepared(make_config())
    unet = run.base.bundle.unet.to(torch.bfloat16)
    adapter = Adapter(unet, [], run.config, torch.bfloat16)
    assert {weight.dtype for weight in adapter.parameters("unet")} == {torch.float32}
    assert {weight.dtype for weight in unet.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        adapter.layers[0].up.fill_(1 / 3)
    adapter.publish()
    live = unet.get_submodule(adapter.layers[0].module).lora_B["default"].weight
    assert torch.equal(live, torch.full_like(live, 1 / 3))


def test_the_adapter_begins_alike_for_equal_seeds_only(make_config: MakeConfig, prepared: Prepare) -> None:
    found = []
    for seed in (0, 0, 1):
        run = prepared(make_config(seed=seed))
        found.append(Adapter(run.base.bundle.unet, [], run.config, torch.float32).layers[0].down)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    bound = found[0].shape[1] ** -0.5
    assert found[0].abs().max() <= bound
    assert found[0].abs().max() > 0.8 * bound
