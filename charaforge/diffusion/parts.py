"""The loaded parts of a model, before they are one `Bundle`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

Family = Literal["sd15", "sdxl"]
TextEncoder = CLIPTextModel | CLIPTextModelWithProjection


@dataclass(frozen=True)
class Parts:
    """What a folder or a single file holds.

    Attributes:
        family: "sd15" has one text encoder, "sdxl" two, the second one with a projection.
        unet: predicts noise or velocity.
        vae: latents to pictures and back.
        text_encoders: in the order in which the UNet wants their states joined.
        tokenizers: one for each text encoder.
        scheduler_config: the diffusers config of the noise schedule.
        zero_empty: whether an empty negative prompt is zeros for the UNet: `force_zeros_for_empty_prompt` of
            SDXL's model_index.json, true where it says nothing.
    """

    family: Family
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: tuple[TextEncoder, ...]
    tokenizers: tuple[CLIPTokenizer, ...]
    scheduler_config: Mapping[str, Any]
    zero_empty: bool = False


def vae_dtype(family: Family, config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
    """Return the type that a VAE computes in beside a UNet of `dtype`.

    float32 for SDXL's own VAE beside float16, which it overflows; a VAE that was repaired says
    `force_upcast: false`. SD1.x also leaves `force_upcast` at true, but keeps within float16's range.
    """
    overflows = family == "sdxl" and dtype == torch.float16 and bool(config.get("force_upcast", True))
    return torch.float32 if overflows else dtype
