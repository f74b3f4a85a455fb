"""The samplers that are offered, under our names, A1111's and diffusers'.

A sampler is a solver (`dpmpp_2m`, "DPM++ 2M") on a schedule (`_karras`, "Karras"). Offered are the pairs
that give good pictures on every model family, zero-terminal-SNR v-prediction models included (their first
noise level has no signal at all, on which some samplers of diffusers divide by zero), at 10 steps and more.

A name of ours without a schedule takes the time steps that the model's own config says. A1111's "Automatic"
is something else: since 1.9 it is Karras or exponential for the DPM solvers, and even steps for most others.
`find_a1111_sampler` reads names as A1111 does, `Sampler.schedule_label` is what A1111 calls our schedule.
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
        name: our name, the end of a sampler's name; "" = the model's own, mostly what A1111 calls "DDIM".
        label: A1111's "Schedule type".
        options: what is set on a diffusers scheduler for it.
        aliases: further names.
    """

    name: str
    label: str
    options: MappingProxyType[str, Any] = field(default_factory=_options, hash=False)
    aliases: tuple[str, ...] = ()


OWN = Schedule("", "DDIM", aliases=("Automatic", "ddim_uniform"))
KARRAS = Schedule("karras", "Karras", _options(use_karras_sigmas=True))
EXPONENTIAL = Schedule("exponential", "Exponential", _options(use_exponential_sigmas=True))
BETA = Schedule("beta", "Beta", _options(use_beta_sigmas=True))
# "Simple" of A1111 and ComfyUI is SGM Uniform, rounded to whole time steps of the 1,000
SGM_UNIFORM = Schedule("sgm_uniform", "SGM Uniform", _options(timestep_spacing="trailing"), ("Simple",))
UNIFORM = Schedule("uniform", "Uniform", _options(timestep_spacing="linspace"), ("Normal",))
SCHEDULES = (OWN, KARRAS, EXPONENTIAL, BETA, SGM_UNIFORM, UNIFORM)
_BY_TIME = (OWN, SGM_UNIFORM, UNIFORM)
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
        automatic: the schedule that A1111 takes where none is named.
    """

    name: str
    label: str
    diffusers: str
    options: MappingProxyType[str, Any] = field(default_factory=_options, hash=False)
    schedules: tuple[Schedule, ...] = SCHEDULES
    aliases: tuple[str, ...] = ()
    automatic: Schedule = UNIFORM


_MULTISTEP = "DPMSolverMultistepScheduler"
SOLVERS = (
    Solver("ddim", "DDIM", "DDIMScheduler", schedules=_BY_TIME, automatic=OWN),
    Solver("euler", "Euler", "EulerDiscreteScheduler"),
    Solver("euler_a", "Euler a", "EulerAncestralDiscreteScheduler", schedules=_BY_TIME),
    Solver("heun", "Heun", "HeunDiscreteScheduler"),
    Solver("dpm2", "DPM2", "KDPM2DiscreteScheduler", aliases=("kdpm2",), automatic=KARRAS),
    Solver(
        "dpmpp_2m",
        "DPM++ 2M",
        _MULTISTEP,
        _options(algorithm_type="dpmsolver++"),
        schedules=_NOT_BETA,
        automatic=KARRAS,
    ),
    Solver(
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        _MULTISTEP,
        _options(algorithm_type="sde-dpmsolver++"),
        schedules=_NOT_BETA,
        automatic=EXPONENTIAL,
    ),
    Solver(
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        _MULTISTEP,
        _options(algorithm_type="sde-dpmsolver++", solver_order=3),
        schedules=(OWN, EXPONENTIAL, SGM_UNIFORM, UNIFORM),
        automatic=EXPONENTIAL,
    ),
    Solver(
        "dpmpp_2s",
        "DPM++ 2S",
        "DPMSolverSinglestepScheduler",
        _options(algorithm_type="dpmsolver++", lower_order_final=True, final_sigmas_type="zero"),
        automatic=KARRAS,
    ),
    Solver(
        "dpmpp_sde",
        "DPM++ SDE",
        "DPMSolverSinglestepScheduler",
        _options(algorithm_type="sde-dpmsolver++", lower_order_final=True, final_sigmas_type="zero"),
        schedules=_NOT_BETA,
        automatic=KARRAS,
    ),
    Solver("unipc", "UniPC", "UniPCMultistepScheduler", schedules=_NOT_BETA, automatic=SGM_UNIFORM),
    Solver("deis", "DEIS", "DEISMultistepScheduler", schedules=_NOT_BETA, automatic=OWN),
    Solver("lcm", "LCM", "LCMScheduler", schedules=(OWN,), automatic=OWN),
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
        """A1111's joined name: "DPM++ 2M Karras"; newer versions write `solver.label`, `schedule_label`."""
        return f"{self.solver.label} {self.schedule.label}" if self.schedule.name else self.solver.label

    @property
    def schedule_label(self) -> str:
        """A1111's "Schedule type" for it; "Automatic" only where A1111 takes the same steps for that."""
        return "Automatic" if self.schedule is OWN is self.solver.automatic else self.schedule.label

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
        schedule: its schedule, where it is told apart; "" or "Automatic" = the one in the name, else the
            model's own.

    Raises:
        UnknownNameError: there is none; it names the nearest.
    """
    asked = name if _fold(schedule) in ("", "automatic") else f"{name} {schedule}"
    found = _known().get(_fold(asked))
    if found is None:
        raise UnknownNameError("scheduler", asked, [sampler.name for sampler in SAMPLERS])
    return found


def find_a1111_sampler(name: str, schedule: str = "") -> Sampler:
    """Return the sampler that A1111 (1.9 and later) takes; as `find_sampler`, but for "Automatic".

    Args:
        name: solver, or solver and schedule in one.
        schedule: "Schedule type"; "" or "Automatic" = the one in the name, else the solver's default.

    Raises:
        UnknownNameError: there is none; it names the nearest.
    """
    found = find_sampler(name, schedule)
    unnamed = found.schedule is OWN and _fold(schedule) in ("", "automatic")
    return Sampler(found.solver, found.solver.automatic) if unnamed else found


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
