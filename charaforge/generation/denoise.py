"""The loop from noise to latents, and latents to pictures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.samplers import make_scheduler
from charaforge.errors import GenerationError

OnStep = Callable[[int, int], None]
"""Called after each step with (steps done, steps in all); whatever it raises stops the work."""


@torch.inference_mode()
def denoise(
    bundle: Bundle,
    *,
    prompts: Tensor,
    negatives: Tensor,
    seeds: Sequence[int],
    width: int,
    height: int,
    sampler: str,
    steps: int,
    guidance: float,
    on_step: OnStep,
) -> Tensor:
    """Render latents with classifier-free guidance.

    Noise comes from one CPU generator per picture: the same on every machine and in every batch.

    Args:
        bundle: the model.
        prompts: (B, 77, D) hidden states of the prompts.
        negatives: the same of the negative prompts.
        seeds: B seeds.
        width: pixels, a multiple of the model's latent factor.
        height: pixels, likewise.
        sampler: name of the sampler.
        steps: denoising steps.
        guidance: scale of the guidance; at 1 the negative prompts do not act.
        on_step: told of progress.

    Returns:
        (B, C, height / 8, width / 8) latents, scaled as the UNet sees them.
    """
    scheduler = make_scheduler(sampler, bundle.scheduler_config, steps)
    draws = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    shape = (bundle.latent_channels, height // bundle.latent_factor, width // bundle.latent_factor)
    noise = torch.stack([torch.randn(shape, generator=draw, dtype=torch.float32) for draw in draws])
    latents: Tensor = noise.to(bundle.device, bundle.dtype) * scheduler.init_noise_sigma
    guided = guidance != 1.0
    states = torch.cat([negatives, prompts]) if guided else prompts
    random = {"generator": draws} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for done, timestep in enumerate(scheduler.timesteps, start=1):
        doubled = torch.cat([latents, latents]) if guided else latents
        output = bundle.unet(scheduler.scale_model_input(doubled, timestep), timestep, states).sample
        if guided:
            without, within = output.chunk(2)
            output = without + guidance * (within - without)
        latents = scheduler.step(output, timestep, latents, return_dict=False, **random)[0]
        on_step(done, len(scheduler.timesteps))
    return latents


@torch.inference_mode()
def decode(bundle: Bundle, latents: Tensor) -> Image.Image:
    """Return the RGB picture of one picture's latents (1, C, h, w); they are decoded one at a time.

    Raises:
        GenerationError: the picture has values that are no numbers.
    """
    decoded: Any = bundle.vae.decode(latents / bundle.latent_scaling, return_dict=False)[0]
    values = (decoded[0].float() / 2 + 0.5).clamp(0, 1)
    if not torch.isfinite(values).all():
        raise GenerationError(
            f"the model {bundle.name!r} gave values that are no numbers",
            "lower the guidance or the LoRA weights",
        )
    pixels = (values.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))
