"""The processes of one run: alone as a rule, several under `accelerate launch`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor


class Processes:
    """Which process this is, and how the processes agree.

    Every process computes its own share of each batch; gradients are averaged, so that N processes walk the
    same way as one with an N times larger batch. Process 0 alone writes files.

    Attributes:
        rank: number of this process, 0 ... count-1.
        count: number of processes.
        device: where this process computes.
    """

    def __init__(self) -> None:
        self.rank, self.count = 0, 1
        self.device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            state = PartialState(cpu=not torch.cuda.is_available())
            self.rank, self.count, self.device = state.process_index, state.num_processes, state.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and talks to the user."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        flat /= self.count
        parts = torch.split_with_sizes(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        if self.count == 1:
            return flag
        told = torch.tensor(float(flag), device=self.device)
        torch.distributed.all_reduce(told)
        return bool(told > 0)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            torch.distributed.barrier()
