"""Samplers for a model: a fresh diffusers scheduler per call, on the model's own noise schedule."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from charaforge.requests.samplers import find_sampler

_CLASSES: Mapping[str, Any] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            DDIMScheduler,
            DPMSolverMultistepScheduler,
            EulerAncestralDiscreteScheduler,
            EulerDiscreteScheduler,
            HeunDiscreteScheduler,
            UniPCMultistepScheduler,
        )
    }
)


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
    scheduler = _CLASSES[sampler.diffusers].from_config(dict(config), **sampler.options)
    scheduler.set_timesteps(steps)
    return scheduler
