"""How the UNet stands in memory and how it computes: format, layout, what is kept for the way back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from charaforge.training.config import TrainingConfig
from charaforge.training.fast_layers import make_fast
from charaforge.training.packed import pack
from charaforge.training.precision import kept_format


def place(
    unet: UNet2DConditionModel, config: TrainingConfig, dtype: torch.dtype, device: torch.device
) -> None:
    """Bring a frozen UNet into the format it is kept in, to its device, in the layout that is fastest.

    Args:
        unet: without an adapter yet.
        config: base_precision, channels_last.
        dtype: what it computes in.
        device: where.
    """
    kept = kept_format(config.base_precision, dtype)
    if kept:
        pack(unet, kept, dtype)
    else:
        cast(unet, dtype)
    nn.Module.to(unet, device)
    small = dtype != torch.float32
    wanted = small if config.channels_last == "auto" else config.channels_last
    if wanted:
        nn.Module.to(unet, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and dtype == torch.bfloat16:
        unet.set_attn_processor(AttnProcessor())  # faster than fused attention in bf16 on a CPU


def finish(unet: UNet2DConditionModel, config: TrainingConfig, *, checkpointing: bool) -> None:
    """Decide how a UNet with its adapter computes.

    Args:
        unet: with the adapter in it.
        config: fast_layers, compile_blocks.
        checkpointing: whether activations are computed a second time instead of kept.
    """
    if config.fast_layers:
        make_fast(unet)
    if checkpointing:
        unet.enable_gradient_checkpointing()
    if config.compile_blocks:
        told: Any = unet
        told.compile_repeated_blocks(dynamic=False)


def kept_activations(config: TrainingConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a forward pass, which says where activations are kept."""
    if config.activation_offload and device.type == "cuda":
        return torch.autograd.graph.save_on_cpu(pin_memory=True)
    return nullcontext()


def cast(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast every parameter in place; the models' own `to` would warn."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
    return module
