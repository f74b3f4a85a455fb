"""LoRA layers of a UNet computed in fewer operations: the same numbers up to rounding.

peft computes `base(x) + up(down(x)) * s` as five operations, of which three make tensors of the size of the
output, and autograd adds one more for each way that x was used. Here the low-rank part is added into the
base's output by the matrix product itself, and its gradient likewise:

    y  = x Wᵀ + b + s (x Aᵀ) Bᵀ
    dx = dy W + (s dy B) A,   dA = (s dy B)ᵀ x,   dB = s dyᵀ (x Aᵀ)
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional

from charaforge.training.packed import PackedLinear

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
    return count


def _is_plain(layer: Any) -> bool:
    down = layer.lora_A[ADAPTER]
    watched = bool(down._forward_hooks or layer._forward_hooks or layer._forward_pre_hooks)
    dropping = not isinstance(layer.lora_dropout[ADAPTER], nn.Identity)
    return not (watched or dropping or layer.lora_magnitude_vector) and type(layer.get_base_layer()) in (
        nn.Linear,
        PackedLinear,
    )


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


def _weight_of(base: Any, dtype: torch.dtype) -> Tensor:
    weight: Tensor = base.packed.unpack(dtype) if isinstance(base, PackedLinear) else base.weight
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
