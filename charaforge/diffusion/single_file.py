"""Base models in one safetensors file, in the original layout of SD1.x and SDXL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import init_empty_weights
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from charaforge.diffusion.model_configs import ModelConfigs, carried_configs, kept_configs
from charaforge.diffusion.original_layout import open_clip_name, unet_name, vae_name
from charaforge.diffusion.parts import Parts, TextEncoder, vae_dtype
from charaforge.diffusion.single_file_kind import (
    FIRST_ENCODER,
    SECOND_ENCODER,
    UNET,
    VAE,
    family_of_keys,
    scheduler_of,
)
from charaforge.errors import ModelFileError
from charaforge.warehouse.cards import safetensors_metadata

Find = Callable[[str], Tensor | None]
"""Returns the tensor that belongs under a key of ours, None where there is none."""

Module = TypeVar("Module", bound=nn.Module)


def read_single_file(file: Path, dtype: torch.dtype) -> Parts:
    """Read a checkpoint; nothing is downloaded, the configs come with the package or with the file.

    Args:
        file: a `.safetensors` file.
        dtype: what the weights are cast to; see `vae_dtype` for the VAE's.

    Raises:
        ModelFileError: it is broken, incomplete, of another family, or of a shape that nothing tells.
    """
    tensors, metadata = read_tensors(file)
    family = family_of_keys(tensors, file)
    configs = carried_configs(metadata, file) or kept_configs(family)
    if configs.family != family:
        raise ModelFileError(f"{file} calls itself {configs.family}, but is {family}", "export it again")
    return Parts(
        family=family,
        unet=_unet(tensors, configs, file, dtype),
        vae=build_vae(configs.vae, tensors, VAE, file, vae_dtype(family, configs.vae, dtype)),
        text_encoders=_text_encoders(tensors, configs, file, dtype),
        tokenizers=configs.tokenizers,
        scheduler_config=scheduler_of(configs.scheduler, tensors, metadata),
        zero_empty=configs.zero_empty,
    )


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the header's metadata of a safetensors file.

    Raises:
        ModelFileError: it cannot be read.
    """
    try:
        return load_file(file), safetensors_metadata(file)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{file} cannot be read: {error}", "fetch it again") from error


def build_vae(
    config: Mapping[str, object], tensors: Mapping[str, Tensor], prefix: str, file: Path, dtype: torch.dtype
) -> AutoencoderKL:
    """Build a VAE of tensors that have the original names behind `prefix`."""
    with init_empty_weights(include_buffers=False):
        vae: AutoencoderKL = AutoencoderKL.from_config(dict(config))
    return filled(vae, lambda key: tensors.get(prefix + vae_name(key, vae.config)), file, dtype)


def filled(module: Module, find: Find, file: Path, dtype: torch.dtype) -> Module:
    """Give a module without weights those that `find` knows.

    Raises:
        ModelFileError: one is missing or of another shape.
    """
    state: dict[str, Tensor] = {}
    faults = []
    for key, like in module.state_dict().items():
        value = find(key)
        if value is None:
            faults.append(f"{key} is missing")
        elif value.numel() != like.numel():
            faults.append(f"{key} is {tuple(value.shape)} instead of {tuple(like.shape)}")
        else:
            state[key] = value.to(dtype, copy=True).reshape(like.shape).contiguous()
    if faults:
        raise ModelFileError(
            f"{file} does not fit {type(module).__name__}: {faults[0]} ({len(faults)} faults in all)",
            "full-size models and files that carry their own config can be loaded",
        )
    module.load_state_dict(state, assign=True)
    return module


def _unet(
    tensors: Mapping[str, Tensor], configs: ModelConfigs, file: Path, dtype: torch.dtype
) -> UNet2DConditionModel:
    with init_empty_weights(include_buffers=False):
        unet: UNet2DConditionModel = UNet2DConditionModel.from_config(dict(configs.unet))
    return filled(unet, lambda key: tensors.get(UNET + unet_name(key, unet.config)), file, dtype)


def _text_encoders(
    tensors: Mapping[str, Tensor], configs: ModelConfigs, file: Path, dtype: torch.dtype
) -> tuple[TextEncoder, ...]:
    shapes = [CLIPTextConfig(**config) for config in configs.text_encoders]
    with init_empty_weights(include_buffers=False):
        first = CLIPTextModel(shapes[0])
        second = CLIPTextModelWithProjection(shapes[1]) if configs.family == "sdxl" else None
    prefix = FIRST_ENCODER[configs.family]

    def plain(key: str) -> Tensor | None:
        bare = key.removeprefix("text_model.")
        return tensors.get(f"{prefix}text_model.{bare}", tensors.get(prefix + bare))

    encoders: tuple[TextEncoder, ...] = (filled(first, plain, file, dtype),)
    if second is not None:
        encoders += (filled(second, lambda key: _of_open_clip(tensors, key), file, dtype),)
    return encoders


def _of_open_clip(tensors: Mapping[str, Tensor], key: str) -> Tensor | None:
    """Return a tensor of the second text encoder: one of three joined ones, or the transposed projection."""
    value = tensors.get(SECOND_ENCODER + open_clip_name(key))
    if value is None:
        return None
    if key == "text_projection.weight":
        return value.T
    for place, part in enumerate((".q_proj.", ".k_proj.", ".v_proj.")):
        if part in key:
            return value.chunk(3)[place]
    return value
