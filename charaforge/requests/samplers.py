"""The samplers that are offered, under our names, A1111's and diffusers'.

Offered are those that give good pictures on every model family, zero-terminal-SNR v-prediction models
included (their first noise level has no signal at all, on which some samplers of diffusers divide by zero).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from charaforge.errors import UnknownNameError


@dataclass(frozen=True)
class Sampler:
    """One sampler.

    Attributes:
        name: our name, used in requests and sidecars.
        label: A1111's name, used in `parameters` chunks.
        diffusers: class name of the diffusers scheduler.
        options: what is set on that class beside the model's own schedule.
    """

    name: str
    label: str
    diffusers: str
    options: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)


def _options(**values: Any) -> MappingProxyType[str, Any]:
    return MappingProxyType(values)


SAMPLERS = (
    Sampler("ddim", "DDIM", "DDIMScheduler"),
    Sampler("euler", "Euler", "EulerDiscreteScheduler"),
    Sampler("euler_a", "Euler a", "EulerAncestralDiscreteScheduler"),
    Sampler("dpmpp_2m", "DPM++ 2M", "DPMSolverMultistepScheduler", _options(algorithm_type="dpmsolver++")),
    Sampler(
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        "DPMSolverMultistepScheduler",
        _options(algorithm_type="sde-dpmsolver++"),
    ),
    Sampler("unipc", "UniPC", "UniPCMultistepScheduler"),
    Sampler("heun", "Heun", "HeunDiscreteScheduler"),
)
DEFAULT_SAMPLER = "dpmpp_2m"


def find_sampler(name: str) -> Sampler:
    """Return the sampler that `name` stands for: ours, A1111's or diffusers', in any case and spacing.

    Raises:
        UnknownNameError: there is none; it names the nearest.
    """
    known = {alias: sampler for sampler in reversed(SAMPLERS) for alias in _aliases(sampler)}
    found = known.get(_fold(name))
    if found is None:
        raise UnknownNameError("scheduler", name, [sampler.name for sampler in SAMPLERS])
    return found


def _aliases(sampler: Sampler) -> set[str]:
    names = {sampler.name, sampler.label, sampler.diffusers, sampler.diffusers.removesuffix("Scheduler")}
    return {_fold(name) for name in names | {f"k_{sampler.name}"}}


def _fold(name: str) -> str:
    return "".join(sign for sign in name.casefold().replace("++", "pp") if sign.isalnum())
