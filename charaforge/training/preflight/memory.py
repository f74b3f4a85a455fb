"""What of a GPU's memory a run takes, and the largest batch that fits."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from charaforge.training.footprint import Estimator, Footprint
from charaforge.training.setup import Prepared

_GIB = 2**30


def memory_lines(run: Prepared, available: int | None) -> Iterator[str]:
    """Yield what takes how much memory, whether it fits, and the largest batch that does.

    Args:
        run: what is planned.
        available: bytes of the GPU's memory; None where no GPU is at hand and none was named.
    """
    config, batch = run.config, run.config.train_batch_size
    estimator = estimator_of(run, available)
    checkpointing = _checkpointing(run, estimator, available)
    found = estimator.footprint(batch, checkpointing=checkpointing)
    how = "activations are computed twice" if checkpointing else "activations are kept"
    if config.gradient_checkpointing == "auto":
        how += " (gradient_checkpointing: auto)"
    yield f"memory    {found.total / _GIB:.2f} GiB at batch {batch}; {how}"
    yield from (f"          {line}" for line in found.lines())
    if available is not None:
        yield from _fit_lines(estimator, found, available)


def estimator_of(run: Prepared, available: int | None) -> Estimator:
    """Return the estimator of a run, for its largest pictures."""
    samples = run.dataset.train
    largest = max((sample.size for sample in samples), key=lambda size: size[0] * size[1])
    pixels = sum(s.size[0] * s.size[1] * len(s.views) for s in samples)
    on_gpu = available is not None
    plan = run.plan
    return Estimator(run.base.bundle, run.config, plan.dtype, plan.optimizer, largest, pixels, on_gpu)


def gpu_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a GPU; None for a CPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def _checkpointing(run: Prepared, estimator: Estimator, available: int | None) -> bool:
    told = run.config.gradient_checkpointing
    if told != "auto":
        return told
    return available is not None and estimator.needs_checkpointing(available, run.config.train_batch_size)


def _fit_lines(estimator: Estimator, found: Footprint, available: int) -> Iterator[str]:
    kept, twice = (estimator.largest_batch(available, checkpointing=how) for how in (False, True))
    there = f"{available / _GIB:.2f} GiB"
    if found.total <= available:
        yield f"fits      into {there}; largest batch: {kept}, with gradient_checkpointing {twice}"
        return
    yield f"warning   does not fit into {there}: {(found.total - available) / _GIB:.2f} GiB too much"
    if max(kept, twice):
        best = f"train_batch_size: {twice}, gradient_checkpointing: true"
        yield f"          what fits: {best}" + (f", or train_batch_size: {kept} without" if kept else "")
    else:
        yield "          no batch fits; try base_precision: nf4, activation_offload: true, less resolution"
