"""Forward and gradients of every kind of adapter against the published equations, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.training.adapters.layers import TrainedLayer
from charaforge.training.network import Adapter
from tests.fixtures.tiny_adapters import move, settings
from tests.fixtures.tiny_models import tiny_sd

KINDS: dict[str, dict[str, Any]] = {
    "lora": {"alpha": 3},
    "rslora": {"alpha": 3, "use_rslora": True},
    "locon": {"alpha": 3, "conv_rank": 2, "conv_alpha": 1},
    "dora": {"alpha": 3, "use_dora": True},
    "dora of convolutions": {"alpha": 3, "use_dora": True, "conv_rank": 2},
    "loha": {"alpha": 3, "network_type": "loha", "conv_rank": 2},
    "lokr": {"alpha": 3, "network_type": "lokr", "rank": 2, "conv_rank": 1},
    "lokr of two low ranks": {
        "network_type": "lokr", "rank": 1, "conv_rank": 1, "lokr_decompose_both": True, "lokr_factor": 16
    },
    "lokr of whole factors": {"network_type": "lokr", "rank": 64, "lokr_factor": 8},
}  # fmt: skip
STEP = 1e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd(tmp_path_factory.mktemp("models") / "tiny-sd")


def change(held: Mapping[str, Tensor], shape: torch.Size, rank: int, scale: float) -> Tensor:
    """The change of a weight by the equation of its kind, written down once more."""
    if "lora_up.weight" in held:
        rows = torch.einsum(
            "or,ri->oi", held["lora_up.weight"].flatten(1), held["lora_down.weight"].flatten(1)
        )
    elif "hada_w1_a" in held:
        one, two = (held[f"hada_w{n}_a"] @ held[f"hada_w{n}_b"] for n in (1, 2))
        rows = one * two
    else:
        left = held["lokr_w1"] if "lokr_w1" in held else held["lokr_w1_a"] @ held["lokr_w1_b"]
        right = held["lokr_w2"] if "lokr_w2" in held else held["lokr_w2_a"] @ held["lokr_w2_b"]
        deep = right.reshape(right.shape[0], -1, shape[2:].numel()) if len(shape) > 2 else right[..., None]
        rows = torch.einsum("ab,cdk->acbdk", left, deep)
    return scale * rows.reshape(shape)


def strength(layer: TrainedLayer, told: Mapping[str, Any]) -> float:
    target = layer.target
    if {"lokr_w1", "lokr_w2"} <= layer.weights.keys():
        return 1.0
    return target.alpha / (target.rank**0.5 if told.get("use_rslora") else target.rank)


class ByEquation:
    """A plain UNet whose weights are computed from those of an adapter."""

    def __init__(self, unet: nn.Module, adapter: Adapter, told: Mapping[str, Any]) -> None:
        self._unet, self._layers, self._told = unet, adapter.layers, told
        self._base = {name: weight.detach() for name, weight in unet.named_parameters()}
        self._lengths = {layer.module: self._changed(layer, layer.weights) for layer in adapter.layers}

    def _changed(self, layer: TrainedLayer, held: Mapping[str, Tensor]) -> Tensor:
        base = self._base[f"{layer.module}.weight"]
        return base + change(held, base.shape, layer.target.rank, strength(layer, self._told))

    def __call__(self, moved: Callable[[TrainedLayer, str], Tensor]) -> Tensor:
        weights = dict(self._base)
        for layer in self._layers:
            held = {name: moved(layer, name) for name in layer.weights}
            changed = self._changed(layer, held)
            if "dora_scale" in held:  # the length is a constant to the gradient (section 4.3 of the paper)
                length = self._lengths[layer.module].flatten(1).norm(dim=1)
                rows = held["dora_scale"].flatten() / length
                changed = changed * rows.reshape(-1, *[1] * (changed.ndim - 1))
            weights[f"{layer.module}.weight"] = changed
        sample: Tensor = functional_call(self._unet, weights, INPUTS).sample
        return (sample * PROBE).sum()


DRAW = torch.Generator().manual_seed(2)
INPUTS = (
    torch.randn((1, 8, 4, 4), generator=DRAW, dtype=torch.float64),
    torch.tensor([500]),
    torch.randn((1, 77, 32), generator=DRAW, dtype=torch.float64),
)
PROBE = torch.randn((1, 8, 4, 4), generator=DRAW, dtype=torch.float64)


def pair(folder: Path, told: Mapping[str, Any]) -> tuple[Bundle, Adapter, ByEquation]:
    bundle, plain = (load_bundle(folder, "tiny-sd", dtype=torch.float64) for _ in range(2))
    adapter = Adapter(bundle.unet, [], settings(**told), torch.float64)
    move(adapter)
    return bundle, adapter, ByEquation(plain.unet, adapter, told)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_differences_of_the_published_equation(folder: Path, kind: str) -> None:
    bundle, adapter, by_equation = pair(folder, KINDS[kind])
    result = (bundle.unet(*INPUTS).sample * PROBE).sum()
    with torch.no_grad():
        assert float(by_equation(lambda layer, name: layer.weights[name])) == pytest.approx(
            float(result), rel=1e-9
        )
    result.backward()
    for role in sorted({name for layer in adapter.layers for name in layer.weights}):
        draw = torch.Generator().manual_seed(3)
        directions = {
            layer.module: torch.randn(layer.weights[role].shape, generator=draw, dtype=torch.float64)
            for layer in adapter.layers
            if role in layer.weights
        }

        def moved(layer: TrainedLayer, name: str, by: float, role: str = role) -> Tensor:
            weight = layer.weights[name].detach()
            return weight + by * directions[layer.module] if name == role else weight  # noqa: B023

        with torch.no_grad():
            above, below = (by_equation(lambda x, n, by=by: moved(x, n, by)) for by in (STEP, -STEP))  # type: ignore[misc]
        gradients = [layer.weights[role].grad for layer in adapter.layers if role in layer.weights]
        told = sum(float((g * d).sum()) for g, d in zip(gradients, directions.values(), strict=True))  # type: ignore[operator]
        assert float(above - below) / (2 * STEP) == pytest.approx(told, rel=1e-6, abs=1e-8), role
        assert abs(told) > 1e-4
