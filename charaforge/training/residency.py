"""What is in memory when: parts come to the device when they are needed, and really go afterwards."""

from __future__ import annotations

import gc

import torch
from torch import nn


def release(*modules: nn.Module) -> None:
    """Give back the memory of modules that nobody needs any more, whoever still holds them.

    Their weights become empty ones on the meta device, so that whoever uses them nevertheless learns of it.
    """
    for module in modules:
        module.to_empty(device="meta")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_released(module: nn.Module) -> bool:
    """Return whether `release` was called."""
    return any(weight.is_meta for weight in module.parameters())
