"""Bytes that can be counted exactly: weights of the base, of the adapter, and an optimiser's state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from charaforge.training.config import TrainingConfig
from charaforge.training.footprint.live_bytes import optimizer_tensors
from charaforge.training.optimizer import build_optimizer

WHOLE = ("conv_in", "conv_out")
"""Layers that are never packed."""
_NF4_BLOCK, _ABSMAX_BLOCK = 64, 256
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def weight_bytes(base: nn.Module, dtype: torch.dtype, precision: str) -> int:
    """Return the bytes of a frozen model as `packed.pack` keeps it.

    Args:
        base: the model, before an adapter is put in.
        dtype: format that it computes in, which the first and the last convolution have in any case.
        precision: "auto" (as it computes), "fp32", "fp16", "bf16", "int8" or "nf4".
    """
    whole = sum(p.numel() for p in base.parameters()) * dtype.itemsize
    if precision == "auto":
        return whole
    linear = [m.weight for m in base.modules() if isinstance(m, nn.Linear)]
    if precision in ("int8", "nf4"):
        count = _nf4 if precision == "nf4" else _int8
        return whole + sum(count(weight) - weight.numel() * dtype.itemsize for weight in linear)
    inner = [m.weight for n, m in base.named_modules() if isinstance(m, nn.Conv2d) and n not in WHOLE]
    other = _DTYPES[precision].itemsize - dtype.itemsize
    return whole + other * sum(weight.numel() for weight in (*linear, *inner))


def _nf4(weight: Tensor) -> int:
    """Return the bytes of a weight in NF4: half a byte each, scales of 64 in bytes, their scales in fp32."""
    blocks = math.ceil(weight.numel() / _NF4_BLOCK)
    tables = 4 * (16 + 256 + 1)
    return math.ceil(weight.numel() / 2) + blocks + 4 * math.ceil(blocks / _ABSMAX_BLOCK) + tables


def _int8(weight: Tensor) -> int:
    """Return the bytes of a weight in LLM.int8(): one each, and a scale in fp32 for each row."""
    return weight.numel() + 4 * weight.shape[0]


def optimizer_bytes(name: str, shapes: Iterable[Sequence[int]], config: TrainingConfig) -> int:
    """Return the bytes that an optimiser keeps for weights of these shapes, whichever optimiser it is.

    One step is made with one weight of each shape; tables that the weights share count once.
    """
    counts = Counter(tuple(shape) for shape in shapes)
    weights = [nn.Parameter(torch.ones(shape)) for shape in counts]
    for parameter in weights:
        parameter.grad = torch.ones_like(parameter)
    optimizer = build_optimizer(name, [{"params": weights, "lr": 1e-4}], config)
    optimizer.step()
    kept = optimizer_tensors(optimizer)
    users = Counter(t.untyped_storage()._cdata for tensors in kept for t in tensors)
    total = 0
    shared: dict[int, int] = {}
    for weight, tensors in zip(optimizer.state, kept, strict=True):
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if users[storage._cdata] > 1:
                shared[storage._cdata] = storage.nbytes()
            else:
                total += counts[tuple(weight.shape)] * storage.nbytes()
    return total + sum(shared.values())
