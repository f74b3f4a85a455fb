"""A Stable Diffusion 1.x or XL model as one typed bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers import CLIPTokenizer

from charaforge.diffusion.model_folder import COMPONENTS, family_of, read_folder
from charaforge.diffusion.noise import NoiseSchedule
from charaforge.diffusion.parts import Family, TextEncoder
from charaforge.diffusion.single_file import read_single_file
from charaforge.diffusion.single_file_kind import predicting


@dataclass(frozen=True)
class Bundle:
    """The parts of a model, in evaluation mode and (but for an upcast VAE) of one type.

    Attributes:
        name: the name it was asked for by.
        family: "sd15" has one text encoder, "sdxl" two.
        unet: predicts what `schedule.prediction` says, from noisy latents and text.
        vae: latents to pictures and back; its own `dtype` counts, see `vae_dtype`.
        text_encoders: each makes states (B, 77, D) of token ids (B, 77); the last of SDXL also pooled ones.
        tokenizers: text to token ids, one for each text encoder.
        schedule: the noise schedule that the UNet was trained on.
        scheduler_config: the diffusers config that samplers are made from.
        sha256: fingerprint of the files it was loaded from, see `fingerprint`.
        device: where the parts work; where memory is short, they lie elsewhere while they are idle.
        zero_empty: whether an empty negative prompt is zeros for the UNet, see `Parts`.
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
    device: torch.device
    zero_empty: bool = False

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
    path: Path,
    name: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    card: Mapping[str, Any] = MappingProxyType({}),
    lying: torch.device | None = None,
) -> Bundle:
    """Load a model; only safetensors are read, and nothing is downloaded.

    Args:
        path: a diffusers folder, which holds `model_index.json`, or a checkpoint in one `.safetensors` file.
        name: what the bundle shall be called in messages and provenance.
        device: where the parts work.
        dtype: what the weights are cast to; see `vae_dtype` for the VAE's.
        card: its `prediction_type` ("epsilon", "v_prediction") and `zero_terminal_snr` (bool), where they are
            given, go before what the files say.
        lying: where to put the weights for now; None: where they work.

    Raises:
        ModelFileError: a part is missing, broken or of another kind of model.
    """
    parts = read_folder(path, dtype) if path.is_dir() else read_single_file(path, dtype)
    told = _as_carded(parts.scheduler_config, card)
    schedule = NoiseSchedule.from_config(told)
    modules: tuple[nn.Module, ...] = (parts.unet, parts.vae, *parts.text_encoders)
    for module in modules:
        module.requires_grad_(False).eval().to(lying or device)
    return Bundle(
        name=name,
        family=parts.family,
        unet=parts.unet,
        vae=parts.vae,
        text_encoders=parts.text_encoders,
        tokenizers=parts.tokenizers,
        schedule=schedule,
        scheduler_config=told,
        sha256=fingerprint(path),
        device=torch.device(device),
        zero_empty=parts.zero_empty,
    )


def fingerprint(path: Path) -> str:
    """Return the sha256 of a model: of its file, or over the name and sha256 of every file of its components.

    Cards, pictures and other files beside the components do not count, because they decide no pixel.
    """
    if path.is_file():
        return _sha256(path)
    components = COMPONENTS[family_of(path)]
    files = sorted(file for part in components for file in (path / part).rglob("*") if file.is_file())
    total = hashlib.sha256()
    for file in files:
        total.update(f"{_sha256(file)}  {file.relative_to(path).as_posix()}\n".encode())
    return total.hexdigest()


def _as_carded(config: Mapping[str, Any], card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the noise schedule's config as the model's card corrects it."""
    if "prediction_type" not in card and "zero_terminal_snr" not in card:
        return config
    prediction = str(card.get("prediction_type", config.get("prediction_type", "epsilon")))
    zero_snr = bool(card.get("zero_terminal_snr", config.get("rescale_betas_zero_snr", False)))
    return predicting(config, prediction, zero_snr)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
