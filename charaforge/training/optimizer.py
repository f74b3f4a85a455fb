"""The optimiser and its learning rate."""

from __future__ import annotations

import importlib.util
import math

import torch

from charaforge.training.config import TrainingConfig
from charaforge.training.network import Adapter

_BETAS = (0.9, 0.99)


def choose_optimizer(config: TrainingConfig) -> tuple[str, str]:
    """Return the optimiser's name ("adamw" or "adamw8bit") and a warning, "" unless another was asked for."""
    if config.eight_bit and importlib.util.find_spec("bitsandbytes") is None:
        return "adamw", "8-bit Adam needs the package bitsandbytes; this run uses AdamW with 32-bit state"
    return ("adamw8bit" if config.eight_bit else "adamw"), ""


def build_optimizer(name: str, adapter: Adapter, config: TrainingConfig) -> torch.optim.Optimizer:
    """Build the optimiser over the adapter's float32 weights, one group for each part of the model.

    Each group's "peak_rate" is the learning rate that `set_rate` scales.
    """
    rates = {"unet": config.learning_rate, "text_encoder": config.text_learning_rate}
    groups = [
        {"params": weights, "lr": rate, "peak_rate": rate}
        for part, rate in rates.items()
        if (weights := adapter.parameters(part))
    ]
    if name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit  # type: ignore[import-not-found,unused-ignore]

        eight_bit: torch.optim.Optimizer = AdamW8bit(groups, betas=_BETAS, weight_decay=config.weight_decay)
        return eight_bit
    return torch.optim.AdamW(groups, betas=_BETAS, weight_decay=config.weight_decay, fused=True)


def rate_factor(config: TrainingConfig, step: int) -> float:
    """Return the share of the peak learning rate in a step: linear warm-up, then constant or half a cosine.

    Args:
        config: lr_scheduler, lr_warmup_steps, max_train_steps.
        step: 0 for the first.
    """
    warm = config.lr_warmup_steps
    if step < warm:
        return (step + 1) / warm
    if config.lr_scheduler == "constant":
        return 1.0
    done = (step - warm) / max(config.max_train_steps - warm, 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to this share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_rate"] * factor
