"""VAEs: in which type they compute, and others than the model's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.parts import vae_dtype
from charaforge.diffusion.single_file import build_vae, filled, read_tensors
from charaforge.diffusion.single_file_kind import VAE
from charaforge.errors import ModelFileError


def load_vae(path: Path, name: str, bundle: Bundle) -> AutoencoderKL:
    """Load a VAE for a base, on its device and in the type that `vae_dtype` tells.

    Args:
        path: a diffusers folder, or a safetensors file with diffusers' or the original keys; the shape of a
            file is that of the base's own VAE.
        name: what it is called in messages.
        bundle: the base.

    Raises:
        ModelFileError: it cannot be read, or has other latents than the base.
    """
    vae = _of_folder(path) if path.is_dir() else _of_file(path, bundle.vae_config)
    mine, theirs = int(vae.config["latent_channels"]), bundle.latent_channels
    if mine != theirs:
        raise ModelFileError(
            f"the VAE {name!r} has {mine} latent channels, {bundle.name!r} has {theirs}",
            "choose a VAE made for this base",
        )
    dtype = vae_dtype(bundle.family, vae.config, bundle.dtype)
    nn.Module.to(
        vae.requires_grad_(False).eval(), device=bundle.device, dtype=dtype
    )  # its own `to` would warn
    return vae


def with_vae(bundle: Bundle, vae: AutoencoderKL) -> Bundle:
    """Return the bundle with another VAE; all else is shared, LoRAs too."""
    return replace(bundle, vae=vae)


def _of_folder(folder: Path) -> AutoencoderKL:
    try:
        vae: AutoencoderKL = AutoencoderKL.from_pretrained(
            folder, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelFileError(f"the VAE {folder} cannot be loaded: {error}", "fetch it again") from error
    return vae


def _of_file(file: Path, config: Mapping[str, Any]) -> AutoencoderKL:
    tensors, _ = read_tensors(file)
    prefix = VAE if any(key.startswith(VAE) for key in tensors) else ""
    if not any(key.startswith(f"{prefix}decoder.") for key in tensors):
        raise ModelFileError(f"{file} is no VAE: it has no decoder", "choose a VAE")
    if any(key.startswith("decoder.up_blocks.") for key in tensors):
        empty: AutoencoderKL = AutoencoderKL.from_config(dict(config))
        return filled(empty, tensors.get, file, torch.float32)
    return build_vae(config, tensors, prefix, file, torch.float32)
