"""LoRA layers of a UNet computed in fewer operations: the same numbers up to rounding.

peft computes `base(x) + up(down(x)) * s` as five operations, of which three make tensors of the size of the
output, and autograd adds one more for each way that x was used. Here the low-rank part is added into the
base's output by the matrix product itself, and its gradient likewise:

    y  = x Wᵀ + b + s (x Aᵀ) Bᵀ
    dx = dy W + (s dy B) A,   dA = (s dy B)ᵀ x,   dB = s dyᵀ (x Aᵀ)

A 1x1 convolution is the same product for each pixel. As a product it is also spared the slow path that
convolutions of few numbers take on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Conv2d as LoraConv2d
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional

from charaforge.training.packed import PackedConv2d, PackedLinear

ADAPTER = "default"


def make_fast(model: nn.Module) -> int:
    """Let a model's plain LoRA layers compute fast; layers with dropout or DoRA stay as they are.

    Returns:
        The number of layers that were changed.
    """
    count = 0
    for module in model.modules():
        if isinstance(module, LoraLinear) and _is_plain(module):
            module.forward = _Fast(module)  # type: ignore[method-assign]
            count += 1
        elif isinstance(module, LoraConv2d) and _is_plain(module) and _is_pointwise(module.get_base_layer()):
            module.forward = _FastPointwise(module)  # type: ignore[method-assign]
            count += 1
    return count


def _is_plain(layer: Any) -> bool:
    down = layer.lora_A[ADAPTER]
    watched = bool(down._forward_hooks or layer._forward_hooks or layer._forward_pre_hooks)
    dropping = not isinstance(layer.lora_dropout[ADAPTER], nn.Identity)
    return not (watched or dropping or layer.lora_magnitude_vector) and type(layer.get_base_layer()) in (
        nn.Linear,
        nn.Conv2d,
        PackedLinear,
        PackedConv2d,
    )


def _is_pointwise(layer: Any) -> bool:
    plain = (layer.kernel_size, layer.stride, layer.padding, layer.groups)
    return plain == ((1, 1), (1, 1), (0, 0), 1)


class _Fast:
    """The forward pass of one layer."""

    def __init__(self, layer: Any) -> None:
        self._base = layer.get_base_layer()
        self._down = layer.lora_A[ADAPTER]
        self._up = layer.lora_B[ADAPTER]
        self._scale = float(layer.scaling[ADAPTER])

    def __call__(self, x: Tensor) -> Tensor:
        told = (x, self._base, self._down.weight, self._up.weight, self._scale)
        result: Tensor = _LowRank.apply(*told)  # type: ignore[no-untyped-call]
        return result


class _FastPointwise(_Fast):
    """The forward pass of a 1x1 convolution; other layouts than the plain one take peft's way."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self._slow = layer.forward

    def __call__(self, x: Tensor) -> Tensor:
        if not x.is_contiguous():
            slow: Tensor = self._slow(x)
            return slow
        told = (x, self._base, self._down.weight, self._up.weight, self._scale)
        result: Tensor = _LowRankPointwise.apply(*told)  # type: ignore[no-untyped-call]
        return result


def _weight_of(base: Any, dtype: torch.dtype) -> Tensor:
    packed = isinstance(base, PackedLinear | PackedConv2d)
    weight: Tensor = base.packed.unpack(dtype) if packed else base.weight
    return weight


class _LowRank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Any, down: Tensor, up: Tensor, scale: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.t()
        result = functional.linear(rows, _weight_of(base, x.dtype), base.bias)
        result.addmm_(inner, up.t(), alpha=scale)
        ctx.base, ctx.scale = base, scale
        ctx.save_for_backward(x, inner, down, up)
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, inner, down, up = ctx.saved_tensors
        told = gradient.reshape(-1, gradient.shape[-1])
        through = (told @ up).mul_(ctx.scale)
        of_up = (told.t() @ inner).mul_(ctx.scale)
        of_down = through.t() @ x.reshape(-1, x.shape[-1])
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = told @ _weight_of(ctx.base, gradient.dtype)
            of_x = of_x.addmm_(through, down).view(x.shape)
        return of_x, None, of_down, of_up, None


class _LowRankPointwise(torch.autograd.Function):
    """x (B, C, H, W), down (r, C, 1, 1), up (O, r, 1, 1) -> (B, O, H, W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Any, down: Tensor, up: Tensor, scale: float) -> Tensor:
        pixels = x.flatten(2)
        inner = down.flatten(1) @ pixels
        result: Tensor = _weight_of(base, x.dtype).flatten(1) @ pixels
        if base.bias is not None:
            result += base.bias[:, None]
        result.baddbmm_(up.flatten(1).expand(len(x), -1, -1), inner, alpha=scale)
        ctx.base, ctx.scale = base, scale
        ctx.save_for_backward(x, inner, down, up)
        return result.view(len(x), -1, *x.shape[2:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, inner, down, up = ctx.saved_tensors
        told = gradient.flatten(2)
        through = (up.flatten(1).t() @ told).mul_(ctx.scale)
        of_up = (told @ inner.mT).sum(0).mul_(ctx.scale).view(up.shape)
        of_down = (through @ x.flatten(2).mT).sum(0).view(down.shape)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _weight_of(ctx.base, gradient.dtype).flatten(1).t() @ told
            of_x.baddbmm_(down.flatten(1).t().expand(len(x), -1, -1), through)
            of_x = of_x.view(x.shape)
        return of_x, None, of_down, of_up, None
