"""Samplers for a model: a fresh diffusers scheduler per call, on the model's own noise schedule.

Two things are set right where diffusers goes wrong on zero-terminal-SNR models:

- Half of its classes do not know `rescale_betas_zero_snr` and would step on another schedule than the model
  was trained on; they get the rescaled betas in numbers. Their solvers of second order cannot step down from
  the sigma of pure noise (they magnify what two predictions differ in by the ratio of the sigmas), so the
  schedule ends smoothly at the largest sigma that it had before it was rescaled (14.6 for Stable Diffusion).
- Karras, exponential and beta schedules spread their levels up to the largest sigma. Here that is 4096, where
  most levels would lie above all that matters; they get the same largest sigma.

Every scheduler starts at a place that is told (`set_begin_index`): searching for it by time step goes wrong
where two levels round to one time step.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_deis_multistep import DEISMultistepScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_dpmsolver_singlestep import DPMSolverSinglestepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_k_dpm_2_discrete import KDPM2DiscreteScheduler
from diffusers.schedulers.scheduling_lcm import LCMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from charaforge.requests.samplers import find_sampler

_RESCALING = (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
_NOT_RESCALING = (
    DEISMultistepScheduler,
    DPMSolverSinglestepScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
)
_CLASSES: Mapping[str, Any] = MappingProxyType({k.__name__: k for k in (*_RESCALING, *_NOT_RESCALING)})
_LCM_STEPS = 50  # that its distillation skips among
_BY_SIGMA = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def make_scheduler(name: str, config: Mapping[str, Any], steps: int) -> Any:
    """Return a diffusers scheduler with its timesteps set; it is stateful, so never use one twice.

    Args:
        name: a sampler's name, see `charaforge.requests.samplers`.
        config: the model's scheduler config.
        steps: number of denoising steps.

    Raises:
        UnknownNameError: there is no such sampler.
    """
    sampler = find_sampler(name)
    kind = _CLASSES[sampler.diffusers]
    told = {**config, **sampler.options, "clip_sample": False}  # DDIM clips by default; latents go beyond 1
    if kind is DDIMScheduler and told.get("timestep_spacing") == "linspace":
        told["set_alpha_to_one"] = (
            True  # it steps by T / steps, which is less; the last step has to end clean
        )
    if config.get("rescale_betas_zero_snr"):
        if any(told.get(option) for option in _BY_SIGMA):
            told["sigma_max"] = float((1.0 / _least_alpha(config) - 1.0) ** 0.5)
        if kind in _NOT_RESCALING:
            told["trained_betas"] = _rescaled_betas(config)
    scheduler = kind.from_config(told)
    if "original_inference_steps" in inspect.signature(scheduler.set_timesteps).parameters:
        scheduler.set_timesteps(steps, original_inference_steps=max(steps, _LCM_STEPS))
    else:
        scheduler.set_timesteps(steps)
    start_at(scheduler, 0)
    return scheduler


def start_at(scheduler: Any, place: int) -> None:
    """Let the first step be the one at `place` of the scheduler's timesteps."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(place)


def _least_alpha(config: Mapping[str, Any]) -> float:
    """Return the last cumulative alpha of the schedule before it was rescaled to zero terminal SNR."""
    told = {**config, "rescale_betas_zero_snr": False}
    return float(DDPMScheduler.from_config(told).alphas_cumprod[-1])


def _rescaled_betas(config: Mapping[str, Any]) -> list[float]:
    """Return T betas: those of the rescaled schedule, but that it ends at the alpha of the one before it."""
    rescaled = DDPMScheduler.from_config(dict(config)).alphas_cumprod.double()
    alphas = (rescaled**2 + _least_alpha(config) ** 2).sqrt().clamp(max=1.0)
    ratios = alphas / alphas.roll(1)
    ratios[0] = alphas[0]
    return [float(1.0 - ratio) for ratio in ratios]
