"""Models in plain diffusers folders: StableDiffusionPipeline and StableDiffusionXLPipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from charaforge.diffusion.parts import Family, Parts, TextEncoder, vae_dtype
from charaforge.errors import ModelFileError

FORCE_ZEROS = "force_zeros_for_empty_prompt"
COMPONENTS: dict[Family, tuple[str, ...]] = {
    "sd15": ("scheduler", "text_encoder", "tokenizer", "unet", "vae"),
    "sdxl": ("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae"),
}
_PIPELINES: dict[str, Family] = {
    "StableDiffusionPipeline": "sd15",
    "StableDiffusionXLPipeline": "sdxl",
}


def read_folder(folder: Path, dtype: torch.dtype) -> Parts:
    """Read a pipeline folder; only safetensors are read, and nothing is downloaded.

    Args:
        folder: the folder that holds `model_index.json`.
        dtype: what the weights are cast to; see `vae_dtype` for the VAE's.

    Raises:
        ModelFileError: a part is missing, broken or of another kind of model.
    """
    family = family_of(folder)
    config = _config(folder / "scheduler" / "scheduler_config.json")
    of_vae = vae_dtype(family, _config(folder / "vae" / "config.json"), dtype)
    told: dict[str, Any] = {"torch_dtype": dtype, "use_safetensors": True, "local_files_only": True}
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        encoders: list[TextEncoder] = [CLIPTextModel.from_pretrained(folder / "text_encoder", **told)]
        if family == "sdxl":
            encoders.append(CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", **told))
        return Parts(
            family=family,
            unet=UNet2DConditionModel.from_pretrained(folder / "unet", **told),
            vae=AutoencoderKL.from_pretrained(folder / "vae", **{**told, "torch_dtype": of_vae}),
            text_encoders=tuple(encoders),
            tokenizers=read_tokenizers(folder, family),
            scheduler_config=config,
            zero_empty=family == "sdxl" and bool(_config(folder / "model_index.json").get(FORCE_ZEROS, True)),
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelFileError(
            f"the model in {folder} cannot be loaded: {error}", "restore its files from their origin"
        ) from error


def read_tokenizers(folder: Path, family: Family) -> tuple[CLIPTokenizer, ...]:
    """Read the tokenizers of a pipeline folder, one for each text encoder."""
    names = [part for part in COMPONENTS[family] if part.startswith("tokenizer")]
    return tuple(CLIPTokenizer.from_pretrained(folder / name, local_files_only=True) for name in names)


def family_of(folder: Path) -> Family:
    """Return the family of a pipeline folder, whose parts are all there.

    Raises:
        ModelFileError: it is no pipeline folder, one of another class, or a part is missing.
    """
    index = folder / "model_index.json"
    try:
        told = json.loads(index.read_text(encoding="utf-8")).get("_class_name", "")
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{folder} is no diffusers folder: {index.name} cannot be read ({error})",
            "a base model is a folder with model_index.json, unet, vae, text_encoder, tokenizer, scheduler",
        ) from error
    if told not in _PIPELINES:
        raise ModelFileError(
            f"{folder} holds a {told or 'model without a class'}", f"a {' or '.join(_PIPELINES)} is needed"
        )
    family = _PIPELINES[told]
    missing = [part for part in COMPONENTS[family] if not (folder / part).is_dir()]
    if missing:
        raise ModelFileError(
            f"{folder} lacks {', '.join(missing)}", "restore the missing folders from their origin"
        )
    return family


def _config(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file} cannot be read: {error}", "restore it from its origin") from error
