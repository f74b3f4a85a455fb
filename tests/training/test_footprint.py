"""Must show 7, and pain point 4 of the research: what fits is known before the first step."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.model_configs import kept_shapes
from charaforge.training.config import TrainingConfig
from charaforge.training.footprint import Estimator
from charaforge.training.footprint.counting import optimizer_bytes
from charaforge.training.footprint.live_bytes import LiveBytes, optimizer_tensors, storage_bytes
from charaforge.training.network import Adapter
from charaforge.training.optimizer import build_optimizer

GIB = 2**30


def config_of(**changes: Any) -> TrainingConfig:
    return TrainingConfig(train_data_dir=Path("a"), output_dir=Path("b"), rank=8, **changes)


@pytest.fixture
def mini(repository: Path) -> Bundle:
    return load_bundle(repository / "charaforge" / "mini" / "weights" / "mini-sd", "mini-sd")


class Saved:
    """What autograd keeps in place of a tensor; it lives as long as the graph that needs it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def saved_by_autograd(unet: nn.Module, call: Callable[[], Any]) -> int:
    """Return the bytes of distinct storages, weights aside, that autograd keeps after a forward pass."""
    own = {w.untyped_storage()._cdata for w in (*unet.parameters(), *unet.buffers())}
    kept: weakref.WeakSet[Saved] = weakref.WeakSet()

    def pack(tensor: Tensor) -> Saved:
        saved = Saved(tensor)
        if tensor.untyped_storage()._cdata not in own:
            kept.add(saved)
        return saved

    with saved_tensors_hooks(pack, lambda saved: saved.tensor):
        result = call()
    size = storage_bytes([saved.tensor for saved in kept])
    del result
    return size


@pytest.mark.parametrize("changes", [{"conv_rank": 4}, {"use_dora": True}, {"network_type": "lokr"}], ids=str)
def test_activations_of_the_mini_base_are_what_autograd_saves(mini: Bundle, changes: dict[str, Any]) -> None:
    size = (96, 160)
    config, unet = config_of(**changes), mini.unet.train()
    told = Estimator(mini, config, torch.float32, "adamw", size).footprint(3, checkpointing=False)
    Adapter(unet, [], config, torch.float32)
    noisy = torch.zeros(3, mini.latent_channels, size[1] // 8, size[0] // 8)
    states = torch.zeros(3, 77, int(unet.config["cross_attention_dim"]))
    found = saved_by_autograd(unet, lambda: unet(noisy, torch.zeros(3), states).sample)
    assert told.saved == pytest.approx(found, rel=0.05)
    assert told.activations >= told.saved


@pytest.mark.slow
def test_activations_at_the_size_of_sd15_are_what_autograd_saves(mini: Bundle) -> None:
    shapes = kept_shapes("sd15")["unet"]
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(shapes))
    config = config_of()
    told = Estimator(replace(mini, unet=unet), config, torch.float32, "adamw", (128, 128))
    expected = told.footprint(1, checkpointing=False)
    real = unet.to_empty(device="cpu").train()
    for weight in real.parameters():
        weight.data.zero_()
    assert expected.weights == sum(w.numel() * 4 for w in real.parameters())
    adapter = Adapter(real, [], config, torch.float32)
    assert expected.adapter == 4 * adapter.size
    noisy, states = torch.zeros(1, 4, 16, 16), torch.zeros(1, 77, 768)
    found = saved_by_autograd(real, lambda: real(noisy, torch.zeros(1), states).sample)
    assert expected.saved == pytest.approx(found, rel=0.05)


@pytest.mark.parametrize(
    ("family", "modules", "parameters"), [("sd15", 192, 859_520_964), ("sdxl", 722, 2_567_463_684)]
)
def test_weights_of_full_size_models_are_counted(
    mini: Bundle, family: str, modules: int, parameters: int
) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(dict(kept_shapes(family)["unet"]))
    config = config_of(base_precision="auto")
    estimator = Estimator(replace(mini, unet=unet), config, torch.bfloat16, "adamw", (64, 64))
    assert estimator._shadow.weights == 2 * parameters
    adapter = estimator._shadow.adapter
    assert len(adapter.layers) == modules
    assert estimator._trained == (2 * adapter.size, 4 * adapter.size)


@pytest.mark.parametrize("name", ["adamw", "adamw8bit", "prodigy", "adafactor", "lion", "lion8bit"])
def test_the_state_of_an_optimiser_is_counted_exactly(name: str) -> None:
    shapes = [(8, 320), (8, 320), (320, 8), (640, 8), (8, 640), (16, 640), (16, 640)]
    config = config_of(learning_rate=1.0 if name == "prodigy" else 1e-4)
    weights = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer = build_optimizer(name, [{"params": weights, "lr": 1e-4}], config)
    optimizer.step()
    real = storage_bytes([tensor for kept in optimizer_tensors(optimizer) for tensor in kept])
    assert optimizer_bytes(name, shapes, config) == real


def test_quantised_weights_are_counted_as_bitsandbytes_keeps_them(mini: Bundle) -> None:
    from bitsandbytes.nn import Linear4bit

    from charaforge.training.footprint.counting import weight_bytes

    layer = Linear4bit(640, 1280, bias=False, quant_type="nf4", compress_statistics=True)
    layer.weight.data = torch.randn(1280, 640)
    packed = layer.to("cpu").weight
    state = packed.quant_state
    told = [packed.data, state.absmax, state.code, state.state2.absmax, state.state2.code, state.offset]
    plain = nn.Sequential(nn.Linear(640, 1280, bias=False))
    assert weight_bytes(plain, torch.bfloat16, "nf4") == storage_bytes(told)
    assert weight_bytes(plain, torch.bfloat16, "int8") == 640 * 1280 + 4 * 1280


def test_checkpointing_and_smaller_batches_are_told_where_they_help(mini: Bundle) -> None:
    estimator = Estimator(mini, config_of(), torch.float32, "adamw", (128, 128), on_gpu=False)
    plain = estimator.footprint(8, checkpointing=False)
    frugal = estimator.footprint(8, checkpointing=True)
    assert frugal.activations < 0.5 * plain.activations
    assert not estimator.needs_checkpointing(plain.total, 8)
    assert estimator.needs_checkpointing(plain.total - 1, 8)
    assert estimator.largest_batch(plain.total, checkpointing=False) == 8
    assert estimator.largest_batch(plain.total - 1, checkpointing=False) == 7
    assert estimator.largest_batch(plain.weights, checkpointing=True) == 0


def test_the_runtime_of_a_gpu_and_the_latents_come_on_top(mini: Bundle) -> None:
    bare = Estimator(mini, config_of(), torch.float32, "adamw", (128, 128), on_gpu=False)
    full = Estimator(mini, config_of(), torch.float32, "adamw", (128, 128), 10 * 128 * 128)
    less, more = (one.footprint(1, checkpointing=False) for one in (bare, full))
    assert less.runtime == 0
    assert more.runtime > 600 * 2**20
    assert more.latents == 10 * 4 * mini.latent_channels * 16 * 16
    assert any("activations" in line for line in more.lines())


def test_live_bytes_are_those_of_distinct_storages_and_end_with_them() -> None:
    given = torch.zeros(1000)
    with LiveBytes() as live:
        live.leave_out(given)
        double = given * 2
        view = double.view(10, 100)
        assert live.now == 4000
        other = view + 1
        del double, view
        assert (live.now, live.peak) == (4000, 8000)
        del other
    assert live.now == 0
