"""The loop from noise to latents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.controlnet import ActiveControl, residuals
from charaforge.diffusion.ip_adapter import ActiveReference, attending
from charaforge.diffusion.samplers import make_scheduler, start_at

OnStep = Callable[[int, int], None]
"""Called after each step with (steps done, steps in all); whatever it raises stops the work."""


@dataclass(frozen=True)
class Guide:
    """What the UNet is told beside the latents, for B pictures.

    Attributes:
        states: (2B, L, D) of the negative prompts and then the prompts; without guidance (B, L, D).
        added: SDXL's pooled states and sizes, as many; None for SD1.x.
        scale: of classifier-free guidance; at 1 there is none.
    """

    states: Tensor
    added: Mapping[str, Any] | None
    scale: float

    @property
    def guided(self) -> bool:
        """Whether there is guidance."""
        return self.scale != 1.0


@dataclass(frozen=True)
class Start:
    """Latents to start from, instead of noise alone.

    Attributes:
        latents: (B, C, h, w) clean, scaled as the UNet sees them.
        share: of the steps that is run, above 0 to 1.
        mask: (B, 1, h, w) 1 = redraw, 0 = keep; None = redraw all.
        kept: (B, C, h, w) clean: what is kept where the mask is 0.
    """

    latents: Tensor
    share: float
    mask: Tensor | None = None
    kept: Tensor | None = None


def steps_run(steps: int, share: float) -> int:
    """Return how many of `steps` are run for a share of them: at least one."""
    return max(1, round(steps * share))


@torch.inference_mode()
def denoise(
    bundle: Bundle,
    *,
    guide: Guide,
    noise: Tensor,
    draws: Sequence[torch.Generator],
    sampler: str,
    steps: int,
    on_step: OnStep,
    start: Start | None = None,
    controls: Sequence[ActiveControl] = (),
    references: Sequence[ActiveReference] = (),
) -> Tensor:
    """Render latents.

    Args:
        bundle: the model.
        guide: what it is told.
        noise: (B, C, h, w) unit Gaussian noise.
        draws: B generators, for samplers that add noise on the way.
        sampler: name of the sampler.
        steps: denoising steps of a whole run.
        on_step: told of progress.
        start: latents to start from.
        controls: ControlNets that act.
        references: pictures that are attended to.

    Returns:
        (B, C, h, w) clean latents, scaled as the UNet sees them.
    """
    scheduler = make_scheduler(sampler, bundle.scheduler_config, steps)
    noise = noise.to(bundle.device, bundle.dtype)
    begun = 0 if start is None else (steps - steps_run(steps, start.share)) * scheduler.order
    timesteps = scheduler.timesteps[begun:]
    start_at(scheduler, begun)
    latents: Tensor = noise * scheduler.init_noise_sigma
    if start is not None:
        latents = scheduler.add_noise(start.latents, noise, timesteps[:1])
    random = {"generator": list(draws)} if "generator" in inspect.signature(scheduler.step).parameters else {}
    with attending(bundle, references):
        for place, timestep in enumerate(timesteps):
            acting = [control for control in controls if control.acts(place, len(timesteps))]
            output = _predict(bundle, guide, scheduler.scale_model_input(latents, timestep), timestep, acting)
            latents = scheduler.step(output, timestep, latents, return_dict=False, **random)[0]
            if start is not None and start.mask is not None:
                latents = _keep(start, latents, noise, scheduler, timesteps[place + 1 : place + 2])
            on_step(place + 1, len(timesteps))
    return latents


def _predict(
    bundle: Bundle, guide: Guide, latents: Tensor, timestep: Tensor, controls: Sequence[ActiveControl]
) -> Tensor:
    """Return what the UNet predicts for (B, C, h, w) latents, under guidance."""
    doubled = torch.cat([latents, latents]) if guide.guided else latents
    told: dict[str, Any] = residuals(controls, doubled, timestep, guide.states, guide.added)
    if guide.added is not None:
        told["added_cond_kwargs"] = dict(guide.added)
    output: Tensor = bundle.unet(doubled, timestep, guide.states, **told).sample
    if not guide.guided:
        return output
    without, within = output.chunk(2)
    mixed: Tensor = without + guide.scale * (within - without)
    return mixed


def _keep(start: Start, latents: Tensor, noise: Tensor, scheduler: Any, following: Tensor) -> Tensor:
    """Put what is kept, under the noise of the following step, in where the mask is 0."""
    if start.mask is None or start.kept is None:
        return latents
    kept = scheduler.add_noise(start.kept, noise, following) if len(following) else start.kept
    return start.mask * latents + (1 - start.mask) * kept
