"""What saves memory or time changes nothing that is learnt, or only as much as it says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from charaforge.errors import UsageError
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState
from charaforge.training.loop import take_step
from charaforge.training.mapped import MappedFiles
from charaforge.training.packed import PackedConv2d, PackedLinear, pack
from charaforge.training.processes import Processes
from charaforge.training.residency import is_released
from charaforge.training.setup import Setup, build, make_plan
from tests.training.conftest import MakeConfig, Prepare

Steps = Callable[..., tuple[Setup, list[float]]]


@pytest.fixture
def steps(make_config: MakeConfig, prepared: Prepare, tmp_path: Path) -> Steps:
    """Make two steps with plain settings but for the given ones; return the parts and the losses."""

    def make(**changes: Any) -> tuple[Setup, list[float]]:
        config = make_config(**{"fast_layers": False, "optimizer": "adamw", **changes})
        setup = build(prepared(config), TensorCache(tmp_path / "cache"))
        return setup, [float(take_step(setup, RunState(step=n))[0]) for n in range(2)]

    return make


def weights(setup: Setup) -> torch.Tensor:
    return torch.cat([value.flatten() for value in setup.adapter.state().values()])


def test_gradient_checkpointing_changes_no_bit(steps: Steps) -> None:
    plain, losses = steps()
    again, told = steps(gradient_checkpointing=True, network_dropout=0.0)
    assert told == losses
    assert torch.equal(weights(plain), weights(again))


def test_with_dropout_too(steps: Steps) -> None:
    plain, _ = steps(network_dropout=0.3)
    again, _ = steps(gradient_checkpointing=True, network_dropout=0.3)
    assert torch.equal(weights(plain), weights(again))


@pytest.mark.parametrize("changes", [{"fast_layers": True}, {"channels_last": True}])
def test_faster_ways_give_the_same_up_to_rounding(steps: Steps, changes: dict[str, bool]) -> None:
    plain, losses = steps()
    fast, told = steps(**changes)
    assert told == pytest.approx(losses, rel=1e-5)
    assert torch.allclose(weights(fast), weights(plain), atol=2e-4)


def test_fast_layers_have_the_gradients_of_peft(steps: Steps) -> None:
    plain, _ = steps(learning_rate=1e-3)
    fast, _ = steps(learning_rate=1e-3, fast_layers=True)
    x = torch.randn(2, 8, 8, 8), torch.tensor([3, 900]), torch.randn(2, 77, 32)
    ways = {type(module.forward).__name__ for module in fast.unet.modules()}
    assert {"_Fast", "_FastPointwise"} <= ways
    found = []
    for setup in (plain, fast):
        setup.adapter.load_state(plain.adapter.state())
        setup.unet(*x).sample.square().sum().backward()
        found.append(torch.cat([g.flatten() for g in setup.adapter.gather_gradients()]))
    assert bool(found[0].abs().max() > 1e-3)
    assert torch.allclose(found[1], found[0], rtol=1e-3, atol=1e-4 * float(found[0].abs().max()))


def test_layers_with_dropout_or_dora_keep_their_own_way(steps: Steps) -> None:
    _, losses = steps(use_dora=True)
    assert steps(use_dora=True, fast_layers=True)[1] == losses
    _, losses = steps(network_dropout=0.2)
    assert steps(network_dropout=0.2, fast_layers=True)[1] == losses


@pytest.mark.parametrize("kept", ["bf16", "fp16"])
def test_a_packed_base_computes_exactly_what_its_rounded_weights_give(
    steps: Steps, make_config: MakeConfig, prepared: Prepare, tmp_path: Path, kept: str
) -> None:
    packed, losses = steps(base_precision=kept)
    assert any(isinstance(m, PackedLinear) for m in packed.unet.modules())
    assert any(isinstance(m, PackedConv2d) for m in packed.unet.modules())

    run = prepared(make_config(fast_layers=False, optimizer="adamw"))
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[kept]
    for path, layer in run.base.bundle.unet.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and path not in ("conv_in", "conv_out"):
            layer.weight.data = layer.weight.data.to(dtype).float()
    rounded = build(run, TensorCache(tmp_path / "cache"))
    told = [float(take_step(rounded, RunState(step=n))[0]) for n in range(2)]
    assert losses[0] == told[0]
    assert losses[1] == pytest.approx(told[1], rel=1e-5)
    assert torch.allclose(weights(packed), weights(rounded), atol=1e-5)


@pytest.mark.parametrize(
    ("kept", "error", "size"), [("int8", 0.02, 1.1), ("nf4", 0.12, 0.7), ("bf16", 0.004, 2.1)]
)
def test_packed_weights_are_small_and_near(kept: str, error: float, size: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 320), nn.SiLU(), nn.Linear(320, 64))
    plain = copy.deepcopy(model)
    model.requires_grad_(False)
    pack(model, kept, torch.float32)
    x = torch.randn(16, 256, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    model(x).square().sum().backward()
    plain(y).square().sum().backward()
    for found, expected in ((model(x), plain(y)), (x.grad, y.grad)):
        assert found is not None
        assert expected is not None
        assert float((found - expected).detach().norm() / expected.detach().norm()) < 2 * error
    layer = model[0]
    assert isinstance(layer, PackedLinear)
    bytes_kept = sum(b.nbytes for b in layer.packed.buffers())
    assert bytes_kept / layer.weight.numel() < size


@pytest.mark.parametrize("kept", ["int8", "nf4"])
def test_adapters_learn_on_a_quantised_base(steps: Steps, kept: str) -> None:
    _, losses = steps()
    for changes in ({}, {"fast_layers": True}, {"use_dora": True}, {"network_type": "lokr"}):
        setup, told = steps(base_precision=kept, **changes)
        assert told == pytest.approx(losses, rel=0.2)
        assert bool(weights(setup).isfinite().all())


def test_nf4_without_bitsandbytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="nf4 needs bitsandbytes"):
        pack(nn.Sequential(nn.Linear(4, 4)), "nf4", torch.float32)


def test_vae_and_text_encoders_are_really_gone_after_caching(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path
) -> None:
    run = prepared(make_config())
    bundle = run.base.bundle
    storages = [p.untyped_storage() for m in (bundle.vae, *bundle.text_encoders) for p in m.parameters()]
    before = [torch._C._storage_Use_Count(s._cdata) for s in storages]  # type: ignore[attr-defined]
    setup = build(run, TensorCache(tmp_path / "cache"))
    after = [torch._C._storage_Use_Count(s._cdata) for s in storages]  # type: ignore[attr-defined]
    assert is_released(bundle.vae)
    assert all(is_released(encoder) for encoder in bundle.text_encoders)
    assert all(b < a for a, b in zip(before, after, strict=True))  # nobody else holds them
    take_step(setup, RunState())


def test_a_trained_text_encoder_stays(make_config: MakeConfig, prepared: Prepare, tmp_path: Path) -> None:
    run = prepared(make_config(text_encoder_train=True))
    build(run, TensorCache(tmp_path / "cache"))
    assert is_released(run.base.bundle.vae)
    assert not is_released(run.base.bundle.text_encoders[0])


def test_offloading_activations_on_a_cpu_is_told_to_be_of_no_use(make_config: MakeConfig) -> None:
    plan = make_plan(make_config(activation_offload=True), Processes())
    assert [line for line in plan.warnings if "activation_offload does nothing on a CPU" in line]


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="needs /proc")
def test_pages_of_a_mapped_file_leave_memory_and_come_back_when_read(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": torch.randn(4_000_000), "b": torch.randn(1000)}, file)
    held = load_file(file)
    total = float(held["a"].double().sum())
    before = _file_pages()
    MappedFiles().forget(held["a"])
    assert before - _file_pages() > 15_000  # KiB, of 15,625
    assert float(held["a"].double().sum()) == total
    own = torch.ones(1_000_000)
    MappedFiles().forget(own)  # memory that is no file's is left alone
    assert bool((own == 1).all())


def _file_pages() -> int:
    told = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in told if line.startswith("RssFile"))
