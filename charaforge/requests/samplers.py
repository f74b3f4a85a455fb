"""The samplers that are offered, under our names, A1111's and diffusers'.

A sampler is a solver (`dpmpp_2m`, "DPM++ 2M") on a schedule (`_karras`, "Karras"); without one it takes the
model's own time steps, which A1111 calls "Automatic". Offered are the pairs that give good pictures on every
model family, zero-terminal-SNR v-prediction models included (their first noise level has no signal at all, on
which some samplers of diffusers divide by zero), at 10 steps and more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from charaforge.errors import UnknownNameError


def _options(**values: Any) -> MappingProxyType[str, Any]:
    return MappingProxyType(values)


@dataclass(frozen=True)
class Schedule:
    """How the noise levels are spread.

    Attributes:
        name: our name, the end of a sampler's name; "" = the model's own.
        label: A1111's "Schedule type".
        options: what is set on a diffusers scheduler for it.
        aliases: further names.
    """

    name: str
    label: str
    options: MappingProxyType[str, Any] = field(default_factory=_options, hash=False)
    aliases: tuple[str, ...] = ()


AUTOMATIC = Schedule("", "Automatic")
KARRAS = Schedule("karras", "Karras", _options(use_karras_sigmas=True))
EXPONENTIAL = Schedule("exponential", "Exponential", _options(use_exponential_sigmas=True))
BETA = Schedule("beta", "Beta", _options(use_beta_sigmas=True))
SGM_UNIFORM = Schedule("sgm_uniform", "SGM Uniform", _options(timestep_spacing="trailing"), ("Simple",))
UNIFORM = Schedule("uniform", "Uniform", _options(timestep_spacing="linspace"), ("Normal",))
SCHEDULES = (AUTOMATIC, KARRAS, EXPONENTIAL, BETA, SGM_UNIFORM, UNIFORM)
_BY_TIME = (AUTOMATIC, SGM_UNIFORM, UNIFORM)
_NOT_BETA = tuple(schedule for schedule in SCHEDULES if schedule is not BETA)


@dataclass(frozen=True)
class Solver:
    """How one step goes to the next noise level.

    Attributes:
        name: our name.
        label: A1111's name.
        diffusers: class name of the diffusers scheduler.
        options: what is set on that class beside the model's own schedule.
        schedules: those that it is offered with.
        aliases: further names.
    """

    name: str
    label: str
    diffusers: str
    options: MappingProxyType[str, Any] = field(default_factory=_options, hash=False)
    schedules: tuple[Schedule, ...] = SCHEDULES
    aliases: tuple[str, ...] = ()


_MULTISTEP = "DPMSolverMultistepScheduler"
SOLVERS = (
    Solver("ddim", "DDIM", "DDIMScheduler", schedules=_BY_TIME),
    Solver("euler", "Euler", "EulerDiscreteScheduler"),
    Solver("euler_a", "Euler a", "EulerAncestralDiscreteScheduler", schedules=_BY_TIME),
    Solver("heun", "Heun", "HeunDiscreteScheduler"),
    Solver("dpm2", "DPM2", "KDPM2DiscreteScheduler", aliases=("kdpm2",)),
    Solver(
        "dpmpp_2m",
        "DPM++ 2M",
        _MULTISTEP,
        _options(algorithm_type="dpmsolver++"),
        schedules=_NOT_BETA,
    ),
    Solver(
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        _MULTISTEP,
        _options(algorithm_type="sde-dpmsolver++"),
        schedules=_NOT_BETA,
    ),
    Solver(
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        _MULTISTEP,
        _options(algorithm_type="sde-dpmsolver++", solver_order=3),
        schedules=(AUTOMATIC, EXPONENTIAL, SGM_UNIFORM, UNIFORM),
    ),
    Solver(
        "dpmpp_2s",
        "DPM++ 2S",
        "DPMSolverSinglestepScheduler",
        _options(algorithm_type="dpmsolver++", lower_order_final=True, final_sigmas_type="zero"),
    ),
    Solver(
        "dpmpp_sde",
        "DPM++ SDE",
        "DPMSolverSinglestepScheduler",
        _options(algorithm_type="sde-dpmsolver++", lower_order_final=True, final_sigmas_type="zero"),
        schedules=_NOT_BETA,
    ),
    Solver("unipc", "UniPC", "UniPCMultistepScheduler", schedules=_NOT_BETA),
    Solver("deis", "DEIS", "DEISMultistepScheduler", schedules=_NOT_BETA),
    Solver("lcm", "LCM", "LCMScheduler", schedules=(AUTOMATIC,)),
)
DEFAULT_SAMPLER = "dpmpp_2m"


@dataclass(frozen=True)
class Sampler:
    """A solver on a schedule.

    Attributes:
        solver: how it steps.
        schedule: where it steps.
    """

    solver: Solver
    schedule: Schedule

    @property
    def name(self) -> str:
        """Our name, used in requests and sidecars: `dpmpp_2m_karras`."""
        return "_".join(filter(None, (self.solver.name, self.schedule.name)))

    @property
    def label(self) -> str:
        """A1111's joined name: "DPM++ 2M Karras"; newer versions write `solver.label`, `schedule.label`."""
        return f"{self.solver.label} {self.schedule.label}" if self.schedule.name else self.solver.label

    @property
    def diffusers(self) -> str:
        """Class name of the diffusers scheduler."""
        return self.solver.diffusers

    @property
    def options(self) -> dict[str, Any]:
        """What is set on that class beside the model's own schedule."""
        return {**self.solver.options, **self.schedule.options}


SAMPLERS = tuple(Sampler(solver, schedule) for solver in SOLVERS for schedule in solver.schedules)


def find_sampler(name: str, schedule: str = "") -> Sampler:
    """Return the sampler that `name` stands for: ours, A1111's or diffusers', in any case and spacing.

    Args:
        name: solver, or solver and schedule in one: "euler_a", "DPM++ 2M Karras".
        schedule: A1111's "Schedule type", where it is told apart; "" or "Automatic" = the model's own.

    Raises:
        UnknownNameError: there is none; it names the nearest.
    """
    asked = name if _fold(schedule) in ("", "automatic") else f"{name} {schedule}"
    found = _known().get(_fold(asked))
    if found is None:
        raise UnknownNameError("scheduler", asked, [sampler.name for sampler in SAMPLERS])
    return found


@cache
def _known() -> dict[str, Sampler]:
    """Return every folded name with its sampler; of two of one name the first in the list."""
    return {
        _fold(f"{solver} {schedule}"): sampler
        for sampler in reversed(SAMPLERS)
        for solver in _solver_names(sampler.solver)
        for schedule in (sampler.schedule.name, sampler.schedule.label, *sampler.schedule.aliases)
    }


def _solver_names(solver: Solver) -> set[str]:
    told = {solver.name, solver.label, *solver.aliases, f"k_{solver.name}"}
    return told | {solver.diffusers, solver.diffusers.removesuffix("Scheduler")}


def _fold(name: str) -> str:
    return "".join(sign for sign in name.casefold().replace("++", "pp") if sign.isalnum())
