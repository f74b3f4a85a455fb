"""Which layers an adapter trains, with which rank and alpha, and what files call them.

As in kohya's networks, linear layers and 1x1 convolutions take `rank`, 3x3 convolutions `conv_rank`;
blocks of the UNet may have ranks, alphas and learning rates of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from charaforge.diffusion.lora_names import block_of, kohya_layer, unet_family
from charaforge.diffusion.original_layout import unet_name
from charaforge.errors import UnknownNameError, UsageError
from charaforge.training.config import TrainingConfig

_CONVOLUTIONAL = ("resnets", "downsamplers", "upsamplers")
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
_TEXT_LAYERS = (*_TEXT_ATTENTION, "fc1", "fc2")
_BLOCK_KINDS = ("IN", "MID", "OUT")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Target:
    """One layer that is to be trained.

    Attributes:
        part: "unet", "text_encoder" or "text_encoder_2".
        path: dotted path of the layer inside its part.
        name: what kohya's files call it.
        block: IN00 …, MID, OUT00 … of a UNet, BASE of a text encoder.
        rank: of its update.
        alpha: of its update.
        rate_factor: on the learning rate of its part.
    """

    part: str
    path: str
    name: str
    block: str
    rank: int
    alpha: float
    rate_factor: float


def unet_targets(unet: nn.Module, config: TrainingConfig) -> list[Target]:
    """Return the layers of a UNet that are trained, in its order.

    Raises:
        UnknownNameError: a block that is named in the configuration is none of the UNet's.
        UsageError: the configuration leaves no layer.
    """
    shape: Mapping[str, Any] = unet.config  # type: ignore[assignment]
    family = unet_family(shape)
    found = []
    for path, module in unet.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d) or not _is_trained(path, config):
            continue
        spatial = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
        block = block_of(unet_name(path, shape))
        rank = config.network_conv_rank if spatial else _of_block(config.block_ranks, block, config.rank)
        if rank == 0 or _of_block(config.block_ranks, block, 1) == 0:
            continue
        alpha = _alpha(config, block, rank, spatial=spatial)
        name = kohya_layer(family, "unet", path, shape)
        factor = _of_block(config.block_lr_factors, block, 1.0)
        found.append(Target("unet", path, name, block, rank, alpha, factor))
    _check_blocks(unet, config, shape)
    if not found:
        raise UsageError("no layer of the UNet is trained", "change train_layers, conv_rank or block_ranks")
    return found


def text_targets(
    encoder: nn.Module, part: str, unet_config: Mapping[str, Any], config: TrainingConfig
) -> list[Target]:
    """Return the layers of a CLIP text encoder that are trained, in its order.

    Args:
        encoder: the text encoder.
        part: "text_encoder" or "text_encoder_2".
        unet_config: of the UNet beside it; it decides what files call the text encoder.
        config: rank, alpha, `train_layers`.
    """
    ends = _TEXT_ATTENTION if config.train_layers == "attention" else _TEXT_LAYERS
    family = unet_family(unet_config)
    return [
        Target(part, path, kohya_layer(family, part, path), "BASE", config.rank, config.network_alpha, 1.0)
        for path, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and path.endswith(ends)
    ]


def _is_trained(path: str, config: TrainingConfig) -> bool:
    parts = path.split(".")
    if "attentions" in parts:
        return config.train_layers != "attention" or path.endswith(_ATTENTION)
    return config.network_conv_rank > 0 and not set(parts).isdisjoint(_CONVOLUTIONAL)


def _alpha(config: TrainingConfig, block: str, rank: int, *, spatial: bool) -> float:
    """Return the alpha of a layer: the strength that the configuration's alpha gives its rank."""
    if spatial:
        return config.network_conv_alpha
    usual = config.network_alpha * rank / config.rank  # a block of another rank is as strong as the rest
    return _of_block(config.block_alphas, block, usual)


def _of_block(told: Mapping[str, _Value], block: str, usual: _Value) -> _Value:
    """Return what is told for a block, or for its kind."""
    return told.get(block, told.get(block.rstrip("0123456789"), usual))


def _check_blocks(unet: nn.Module, config: TrainingConfig, shape: Mapping[str, Any]) -> None:
    told = {*config.block_ranks, *config.block_alphas, *config.block_lr_factors}
    if not told:
        return
    known = {block_of(unet_name(path, shape)) for path, _ in unet.named_modules()}
    for name in sorted(told - known.union(_BLOCK_KINDS) - {""}):
        raise UnknownNameError("block", name, (known - {""}).union(_BLOCK_KINDS))
