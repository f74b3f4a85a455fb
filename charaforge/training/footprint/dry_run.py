"""One pass of the model without values, to see what it keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from charaforge.diffusion.parts import TextEncoder
from charaforge.training.config import TrainingConfig
from charaforge.training.footprint.counting import weight_bytes
from charaforge.training.footprint.fused_attention import fused_attention
from charaforge.training.footprint.live_bytes import LiveBytes
from charaforge.training.network import Adapter

_META = torch.device("meta")


@dataclass(frozen=True)
class Kept:
    """What one pass keeps in memory, beside weights and gradients.

    Attributes:
        saved: bytes that autograd keeps from the forward to the backward pass.
        peak: the most bytes that are alive at one time of both passes.
    """

    saved: int
    peak: int


@dataclass(frozen=True)
class Shadow:
    """A model with its adapter, all on the meta device.

    Attributes:
        unet: in training mode.
        encoders: text encoders, those that are trained with an adapter; none where captions are cached.
        weights: bytes of the frozen weights.
        adapter: what is trained.
        dtype: format that it computes in.
    """

    unet: nn.Module
    encoders: tuple[nn.Module, ...]
    weights: int
    adapter: Adapter
    dtype: torch.dtype


def shadow(
    unet_config: Mapping[str, Any],
    encoders: Sequence[TextEncoder],
    config: TrainingConfig,
    dtype: torch.dtype,
) -> Shadow:
    """Build the shadow of a model.

    Args:
        unet_config: diffusers config of the UNet.
        encoders: its text encoders, of which only classes and configs count.
        config: the adapter.
        dtype: format that the model computes in.
    """
    with _META:
        unet = UNet2DConditionModel.from_config(json.loads(json.dumps(dict(unet_config), default=str)))
        twins = tuple(type(encoder)(encoder.config) for encoder in encoders)
    trained = tuple(_cast(twin, dtype) for twin in twins) if config.trained_parts != ("unet",) else ()
    weights = weight_bytes(unet, dtype, config.base_precision)
    weights += sum(weight_bytes(encoder, dtype, "auto") for encoder in trained)
    adapter = Adapter(_cast(unet, dtype), trained, config, dtype)
    return Shadow(unet.train(), trained, weights, adapter, dtype)


def dry_run(model: Shadow, latents: tuple[int, int, int, int], tokens: int, *, checkpointing: bool) -> Kept:
    """Run forward and backward once.

    Args:
        model: what runs.
        latents: (B, C, h, w).
        tokens: length of the captions' states.
        checkpointing: whether activations are computed a second time instead of kept.
    """
    unet: Any = model.unet
    (unet.enable_gradient_checkpointing if checkpointing else unet.disable_gradient_checkpointing)()
    noisy = torch.empty(latents, dtype=model.dtype, device=_META)
    times = torch.empty(latents[0], dtype=torch.long, device=_META)
    weights = [
        tensor for module in (unet, *model.encoders) for tensor in (*module.parameters(), *module.buffers())
    ]
    with fused_attention(), LiveBytes() as live:
        live.leave_out(*weights)
        states = _states(model, latents[0], tokens)
        told = _added(unet, latents[0], model.dtype)
        output: Tensor = unet(noisy, times, states, **told).sample
        saved = live.now
        torch.autograd.backward([output.float().square().mean()])
        live.leave_out(*(p.grad for p in unet.parameters() if p.grad is not None))
    peak = live.peak
    for weight in weights:
        weight.grad = None
    return Kept(saved, peak)


def _states(model: Shadow, batch: int, tokens: int) -> Tensor:
    """Return the captions' states, computed where a text encoder is trained."""
    unet: Any = model.unet
    width = int(unet.config.cross_attention_dim)
    if not model.encoders:
        return torch.empty((batch, tokens, width), dtype=model.dtype, device=_META)
    windows = batch * tokens // 77
    ids = torch.empty((windows, 77), dtype=torch.long, device=_META)
    mine = [_hidden(encoder, ids) for encoder in model.encoders]
    return torch.cat(mine, dim=-1).reshape(batch, tokens, width)


def _hidden(encoder: Any, ids: Tensor) -> Tensor:
    states: Tensor = encoder(ids, output_hidden_states=True).hidden_states[-1]
    return states


def _added(unet: Any, batch: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return SDXL's further conditions."""
    if unet.config.addition_embed_type != "text_time":
        return {}
    sizes = 6 * int(unet.config.addition_time_embed_dim)
    pooled = int(unet.config.projection_class_embeddings_input_dim) - sizes
    texts = torch.empty((batch, pooled), dtype=dtype, device=_META)
    ids = torch.empty((batch, 6), device=_META)
    return {"added_cond_kwargs": {"text_embeds": texts, "time_ids": ids}}


def _cast(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
    return module
