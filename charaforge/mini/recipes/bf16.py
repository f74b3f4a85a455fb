"""Training in bfloat16 with float32 master weights, for CPUs that multiply bfloat16 in hardware."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def training_dtype() -> torch.dtype:
    """bfloat16 on CUDA and on CPUs that multiply it in hardware, float32 elsewhere (bf16 is slower there)."""
    if (
        torch.cuda.is_available()
        or torch.cpu._is_amx_tile_supported()
        or torch.cpu._is_avx512_bf16_supported()
    ):
        return torch.bfloat16
    return torch.float32


class MasterWeights:
    """Keeps float32 copies of a module's parameters (and their average) beside low-precision ones.

    The module computes with its own parameters; ``gather_gradients`` hands the gradients to the float32
    copies, which the optimiser steps; ``publish`` writes them back.
    """

    def __init__(self, modules: Sequence[nn.Module], ema_decay: float) -> None:
        """Copy the parameters of all modules, in order; call before casting the modules down."""
        self._live = [p for m in modules for p in m.parameters()]
        self.master = [p.detach().clone().float().requires_grad_(True) for p in self._live]
        self.average = [p.detach().clone() for p in self.master]
        self._decay = ema_decay

    def gather_gradients(self, max_norm: float) -> float:
        """Move gradients to the float32 copies, clip their global norm; returns the norm before clipping."""
        for live, master in zip(self._live, self.master, strict=True):
            # contiguous: the fused optimiser walks raw memory and would misread a channels-last gradient
            master.grad = None if live.grad is None else live.grad.float().contiguous()
            live.grad = None
        return float(torch.nn.utils.clip_grad_norm_(self.master, max_norm))

    @torch.no_grad()
    def publish(self, step: int) -> None:
        """Write the stepped weights into the modules and move the average (slower as steps go by)."""
        torch._foreach_copy_([p.data for p in self._live], list(self.master))
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, list(self.master), 1 - decay)

    @torch.no_grad()
    def start_from(self, sources: Sequence[nn.Module]) -> None:
        """Take over the weights of modules of the same structure, as weights and as average."""
        values = [p.float() for m in sources for p in m.parameters()]
        torch._foreach_copy_(list(self.master), values)
        torch._foreach_copy_(self.average, values)
        torch._foreach_copy_([p.data for p in self._live], values)

    @torch.no_grad()
    def write_average(self, targets: Sequence[nn.Module]) -> None:
        """Copy the averaged weights into modules of the same structure."""
        for parameter, value in zip((p for m in targets for p in m.parameters()), self.average, strict=True):
            parameter.copy_(value)

    def state(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint."""
        tensors = {f"master.{i}": p.detach() for i, p in enumerate(self.master)}
        return tensors | {f"average.{i}": p for i, p in enumerate(self.average)}

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore ``state`` and publish it."""
        for i, (master, average) in enumerate(zip(self.master, self.average, strict=True)):
            master.copy_(tensors[f"master.{i}"])
            average.copy_(tensors[f"average.{i}"])
        torch._foreach_copy_([p.data for p in self._live], list(self.master))
