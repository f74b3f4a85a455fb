"""Attention as the fused kernels of GPUs and CPUs do it, for tensors without values.

They keep queries, keys, values, the result and one float32 per query (Dao et al. 2022, "FlashAttention"),
never the matrix of all pairs; torch's own stand-in for the meta device would count that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = torch.empty_like(query)  # laid out as the queries are: joining heads then copies nothing
        sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, result, sums)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _stand_in(query: Tensor, key: Tensor, value: Tensor, *args: object, **options: object) -> Tensor:
    result: Tensor = _Fused.apply(query, key, value)  # type: ignore[no-untyped-call]
    return result


@contextmanager
def fused_attention() -> Iterator[None]:
    """While it is open, `scaled_dot_product_attention` makes and keeps what the fused kernels do.

    Its name is exchanged, because a mode of torch's would not hold while a backward pass computes what
    checkpointing did not keep.
    """
    own = nn.functional.scaled_dot_product_attention
    nn.functional.scaled_dot_product_attention = _stand_in
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = own
