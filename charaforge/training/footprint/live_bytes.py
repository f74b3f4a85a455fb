"""Counts the bytes of the tensors that are alive, also of tensors that have no values."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """While it is open, every tensor that an operation makes is counted until it is freed.

    Tensors that share their storage count once. What was there before does not count.

    Attributes:
        now: bytes that are alive.
        peak: the most that were alive at one time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: dict[int, int] = {}

    def leave_out(self, *tensors: Tensor) -> None:
        """Do not count these tensors, which are counted elsewhere."""
        for tensor in tensors:
            self._note(tensor, 0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf, leaf.untyped_storage().nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _note(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place not in self._known:
            self._known[place] = size
            self.now += size
            weakref.finalize(storage, self._freed, place)

    def _freed(self, place: int) -> None:
        self.now -= self._known.pop(place, 0)


def storage_bytes(tensors: list[Tensor]) -> int:
    """Return the bytes of the distinct storages behind tensors."""
    sizes: dict[int, int] = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
    return sum(sizes.values())


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> list[list[Tensor]]:
    """Return the tensors that an optimiser keeps, those of each parameter apart."""
    return [[v for v in state.values() if isinstance(v, Tensor)] for state in optimizer.state.values()]
