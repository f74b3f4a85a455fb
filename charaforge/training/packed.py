"""Frozen layers whose weights are kept in a smaller format than they compute in.

A weight is brought into the computing format each time it is needed, forwards and backwards, one layer at a
time; nothing but the small format stays. What is computed is exactly what the rounded weights would give.

    fp32, fp16, bf16   rounded to the format
    int8               w = s q, q in -127 ... 127, one s for each row (output) of a linear layer
    nf4                bitsandbytes' 4-bit normal floats, with scales in 8 bits (Dettmers et al. 2023, QLoRA)

The first and the last convolution stay as they are; int8 and nf4 leave all convolutions as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

from charaforge.errors import UsageError
from charaforge.generation.heap import map_large_blocks
from charaforge.training.mapped import MappedFiles

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_WHOLE = ("conv_in", "conv_out")
_BLOCK = 64


def pack(model: nn.Module, kept: str, dtype: torch.dtype) -> None:
    """Replace the layers of a frozen model by packed ones, each original let go before the next is packed.

    Args:
        model: the model; what is not packed is cast to `dtype`.
        kept: "fp32", "fp16", "bf16", "int8" or "nf4".
        dtype: what it computes in.

    Raises:
        UsageError: nf4 without bitsandbytes.
    """
    if kept == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("base_precision: nf4 needs bitsandbytes", "pip install bitsandbytes, or use bf16")
    map_large_blocks()
    files = MappedFiles()
    for path in [path for path, _ in model.named_modules() if path not in _WHOLE]:
        layer: Any = model.get_submodule(path)
        packed = _packed(layer, kept)
        if packed is not None:
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, packed)
            files.forget(layer.weight)
    for name, parameter in model.named_parameters():
        if not name.endswith("kept"):
            parameter.data = parameter.data.to(dtype)


def _packed(layer: nn.Module, kept: str) -> nn.Module | None:
    """Return the packed layer; None for what stays as it is."""
    if isinstance(layer, nn.Linear):
        return PackedLinear(layer, kept)
    if isinstance(layer, nn.Conv2d) and kept in _DTYPES:
        return PackedConv2d.of(layer, kept)
    return None


class _Kept(nn.Module):
    """A weight in its small format; `unpack` gives it in another."""

    def __init__(self, weight: Tensor, kept: str) -> None:
        super().__init__()
        self._scales: Any = None
        if kept in _DTYPES:
            small = weight.to(_DTYPES[kept])
        elif kept == "int8":
            scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127.0
            small = (weight / scale).round().to(torch.int8)
            self.register_buffer("scale", scale)
        else:
            small = self._four_bits(weight)
        self.register_buffer("kept", small)

    def unpack(self, dtype: torch.dtype) -> Tensor:
        """Return the weight in the format that is computed in."""
        small: Any = self.kept
        if small.dtype == torch.int8:
            scale: Any = self.scale
            scaled: Tensor = small.to(dtype).mul_(scale.to(dtype))
            return scaled
        if small.dtype == torch.uint8:
            small = _bitsandbytes().dequantize_4bit(small, self._scales)
        whole: Tensor = small.to(dtype)
        return whole

    def _four_bits(self, weight: Tensor) -> Tensor:
        small, self._scales = _bitsandbytes().quantize_4bit(
            weight.float(), blocksize=_BLOCK, quant_type="nf4", compress_statistics=True
        )
        packed: Tensor = small
        return packed

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Let the scales of 4-bit weights go where the weights go."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._scales is not None:
            self._scales.to(self.kept.device)
        return self


class PackedLinear(nn.Linear):
    """A frozen linear layer whose weight is packed.

    Args:
        layer: what it takes the place of.
        kept: the format.
    """

    def __init__(self, layer: nn.Linear, kept: str) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.packed = _Kept(layer.weight.detach(), kept)
        bias: Any = layer.bias
        self.register_parameter("bias", bias)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight, unpacked to float32."""
        return self.packed.unpack(torch.float32)

    def forward(self, input: Tensor) -> Tensor:
        """Return x Wᵀ + b, (…, out), in the format of x (…, in)."""
        result: Tensor = _Linear.apply(input, self.packed, self.bias)  # type: ignore[no-untyped-call]
        return result


class PackedConv2d(nn.Conv2d):
    """A frozen convolution whose weight is packed, made by `of`; made as any other, it is a plain one.

    The latter is what peft does to get a convolution of the same class for its adapter.
    """

    packed: _Kept

    @classmethod
    def of(cls, layer: nn.Conv2d, kept: str) -> Self:
        """Return what takes the place of `layer`, its weight kept in a format."""
        new = cls.__new__(cls)
        nn.Module.__init__(new)
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
            setattr(new, name, getattr(layer, name))
        new.padding_mode, new.transposed, new.output_padding = layer.padding_mode, False, (0, 0)
        new.packed = _Kept(layer.weight.detach(), kept)
        bias: Any = layer.bias
        new.register_parameter("bias", bias)
        return new

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight, unpacked to float32."""
        if "packed" not in self._modules:
            raise AttributeError  # a plain one's is found among its parameters
        return self.packed.unpack(torch.float32)

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of (B, in, H, W)."""
        if "packed" not in self._modules:
            return super().forward(input)
        result: Tensor = _Conv2d.apply(input, self.packed, self.bias, self)  # type: ignore[no-untyped-call]
        return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: _Kept, bias: Tensor | None) -> Tensor:
        ctx.kept = kept
        return functional.linear(x, kept.unpack(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient @ ctx.kept.unpack(gradient.dtype), None, None


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: _Kept, bias: Tensor | None, layer: nn.Conv2d) -> Tensor:
        ctx.kept, ctx.shape = kept, x.shape
        ctx.told = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return functional.conv2d(x, kept.unpack(x.dtype), bias, *ctx.told)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight = ctx.kept.unpack(gradient.dtype)
        found = conv2d_input(ctx.shape, weight, gradient, *ctx.told)
        return found, None, None, None


def _bitsandbytes() -> Any:
    return importlib.import_module("bitsandbytes.functional")
