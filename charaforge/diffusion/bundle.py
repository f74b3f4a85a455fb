"""A Stable Diffusion 1.x or XL model as one typed bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers import CLIPTokenizer

from charaforge.diffusion.model_folder import COMPONENTS, family_of, read_folder
from charaforge.diffusion.noise import NoiseSchedule
from charaforge.diffusion.parts import Family, TextEncoder


@dataclass(frozen=True)
class Bundle:
    """The parts of a model, in evaluation mode, all on one device and (but for an upcast VAE) of one type.

    Attributes:
        name: the name it was asked for by.
        family: "sd15" has one text encoder, "sdxl" two.
        unet: predicts what `schedule.prediction` says, from noisy latents and text.
        vae: latents to pictures and back; its own `dtype` counts, see `load_bundle`.
        text_encoders: each makes states (B, 77, D) of token ids (B, 77); the last of SDXL also pooled ones.
        tokenizers: text to token ids, one for each text encoder.
        schedule: the noise schedule that the UNet was trained on.
        scheduler_config: the diffusers config that samplers are made from.
        sha256: fingerprint of the files it was loaded from, see `fingerprint`.
    """

    name: str
    family: Family
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: tuple[TextEncoder, ...]
    tokenizers: tuple[CLIPTokenizer, ...]
    schedule: NoiseSchedule
    scheduler_config: Mapping[str, Any]
    sha256: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.unet.dtype

    @property
    def vae_config(self) -> Mapping[str, Any]:
        """The diffusers config of the VAE."""
        return self.vae.config

    @property
    def latent_channels(self) -> int:
        """Channels of the latents: 4 for SD1.5 and SDXL."""
        return int(self.vae_config["latent_channels"])

    @property
    def latent_factor(self) -> int:
        """Pixels per latent along a side: 8 for SD1.5 and SDXL."""
        halvings: int = len(self.vae_config["block_out_channels"]) - 1
        return 1 << halvings

    @property
    def latent_scaling(self) -> float:
        """What the VAE's latents are multiplied by before the UNet sees them."""
        return float(self.vae_config["scaling_factor"])


def load_bundle(
    folder: Path, name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Bundle:
    """Load a model; only safetensors are read, and nothing is downloaded.

    Args:
        folder: a diffusers folder, which holds `model_index.json`.
        name: what the bundle shall be called in messages and provenance.
        device: where to put the weights.
        dtype: what the weights are cast to.

    Raises:
        ModelFileError: a part is missing, broken or of another kind of model.
    """
    parts = read_folder(folder, dtype)
    modules: tuple[nn.Module, ...] = (parts.unet, parts.vae, *parts.text_encoders)
    for module in modules:
        module.requires_grad_(False).eval().to(device)
    return Bundle(
        name=name,
        family=parts.family,
        unet=parts.unet,
        vae=parts.vae,
        text_encoders=parts.text_encoders,
        tokenizers=parts.tokenizers,
        schedule=NoiseSchedule.from_config(parts.scheduler_config),
        scheduler_config=parts.scheduler_config,
        sha256=fingerprint(folder),
    )


def fingerprint(folder: Path) -> str:
    """Return the sha256 of a model folder: over the name and sha256 of every file of its components.

    Cards, pictures and other files beside the components do not count, because they decide no pixel.
    """
    components = COMPONENTS[family_of(folder)]
    files = sorted(path for part in components for path in (folder / part).rglob("*") if path.is_file())
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{digest}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()
