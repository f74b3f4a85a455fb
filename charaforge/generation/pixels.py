"""Between latents and pictures: the VAE, one picture at a time, so that none depends on its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.errors import GenerationError


@torch.inference_mode()
def decode(bundle: Bundle, latents: Tensor) -> Image.Image:
    """Return the RGB picture of one picture's latents (1, C, h, w).

    Raises:
        GenerationError: the picture has values that are no numbers.
    """
    scaled = (latents / bundle.latent_scaling).to(bundle.vae.dtype)
    decoded: Any = bundle.vae.decode(scaled, return_dict=False)[0]
    values = (decoded[0].float() / 2 + 0.5).clamp(0, 1)
    if not torch.isfinite(values).all():
        raise GenerationError(
            f"the model {bundle.name!r} gave values that are no numbers",
            "lower the guidance or the LoRA weights",
        )
    pixels = (values.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))


@torch.inference_mode()
def encode(bundle: Bundle, image: Image.Image) -> Tensor:
    """Return the latents (1, C, h, w) of an RGB picture, as the UNet sees them: the mean, not a draw."""
    pixels = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    told: Any = bundle.vae.encode(pixels.to(bundle.vae.device, bundle.vae.dtype))
    latents: Tensor = told.latent_dist.mode() * bundle.latent_scaling
    return latents.to(bundle.device, bundle.dtype)
