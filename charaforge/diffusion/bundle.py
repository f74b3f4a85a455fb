"""A Stable Diffusion 1.x model as one typed bundle, loaded from a plain diffusers folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.errors import ModelFileError

COMPONENTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
PIPELINE = "StableDiffusionPipeline"


@dataclass(frozen=True)
class SD15Bundle:
    """The parts of a Stable Diffusion 1.x model, in evaluation mode, all on one device and of one type.

    Attributes:
        name: the name it was asked for by.
        unet: predicts what `schedule.prediction` says, from noisy latents and text.
        vae: latents to pictures and back.
        text_encoder: token ids (B, 77) to (B, 77, D).
        tokenizer: text to token ids.
        schedule: the noise schedule that the UNet was trained on.
        scheduler_config: the diffusers config that samplers are made from.
        sha256: fingerprint of the files it was loaded from, see `fingerprint`.
    """

    name: str
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
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
        """Channels of the latents: 4 for SD1.5."""
        return int(self.vae_config["latent_channels"])

    @property
    def latent_factor(self) -> int:
        """Pixels per latent along a side: 8 for SD1.5."""
        halvings: int = len(self.vae_config["block_out_channels"]) - 1
        return 1 << halvings

    @property
    def latent_scaling(self) -> float:
        """What the VAE's latents are multiplied by before the UNet sees them."""
        return float(self.vae_config["scaling_factor"])


def load_bundle(
    folder: Path, name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> SD15Bundle:
    """Load a `StableDiffusionPipeline` folder; only safetensors are read, and nothing is downloaded.

    Args:
        folder: the folder that holds `model_index.json`.
        name: what the bundle shall be called in messages and provenance.
        device: where to put the weights.
        dtype: what the weights are cast to.

    Raises:
        ModelFileError: a part is missing, broken or of another kind of model.
    """
    _check_layout(folder)
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    told: dict[str, Any] = {"torch_dtype": dtype, "use_safetensors": True, "local_files_only": True}
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        parts = {
            "unet": UNet2DConditionModel.from_pretrained(folder / "unet", **told),
            "vae": AutoencoderKL.from_pretrained(folder / "vae", **told),
            "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder", **told),
        }
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelFileError(
            f"the model {name!r} in {folder} cannot be loaded: {error}", "restore its files from their origin"
        ) from error
    for module in parts.values():
        module.requires_grad_(False).eval().to(device)
    return SD15Bundle(
        name=name,
        tokenizer=tokenizer,
        schedule=NoiseSchedule.from_config(config),
        scheduler_config=config,
        sha256=fingerprint(folder),
        **parts,
    )


def fingerprint(folder: Path) -> str:
    """Return the sha256 of a model folder: over the name and sha256 of every file of its components.

    Cards, pictures and other files beside the components do not count, because they decide no pixel.
    """
    files = sorted(path for part in COMPONENTS for path in (folder / part).rglob("*") if path.is_file())
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        total.update(f"{digest}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _check_layout(folder: Path) -> None:
    """Raise ModelFileError unless `folder` is laid out as a StableDiffusionPipeline."""
    index = folder / "model_index.json"
    try:
        told = json.loads(index.read_text(encoding="utf-8")).get("_class_name", "")
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{folder} is no diffusers folder: {index.name} cannot be read ({error})",
            "a base model is a folder with model_index.json, unet, vae, text_encoder, tokenizer, scheduler",
        ) from error
    if told != PIPELINE:
        raise ModelFileError(f"{folder} holds a {told or 'model without a class'}", f"a {PIPELINE} is needed")
    missing = [part for part in COMPONENTS if not (folder / part).is_dir()]
    if missing:
        raise ModelFileError(
            f"{folder} lacks {', '.join(missing)}", "restore the missing folders from their origin"
        )
