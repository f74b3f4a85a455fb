"""The loaded parts of a model, before they are one `Bundle`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
    """

    family: Family
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: tuple[TextEncoder, ...]
    tokenizers: tuple[CLIPTokenizer, ...]
    scheduler_config: Mapping[str, Any]
