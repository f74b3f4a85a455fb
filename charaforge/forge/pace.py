"""How fast this machine trains, renders and judges with this base: a short look at a clock, the only one."""

import shutil
import time

from charaforge.evaluation.arms import native_side
from charaforge.evaluation.features import look
from charaforge.evaluation.judges import Judges
from charaforge.forge.effort import Pace
from charaforge.forge.plan import ForgePlan
from charaforge.generation.generator import Generator, Way
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.together import FULL
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.loop import take_step
from charaforge.training.precision import LossScale
from charaforge.training.run import prepare
from charaforge.training.setup import build
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

_WARM_STEPS, _STEPS = 2, 8
_REPORTS_S = 15.0
"""What the reports take, s."""
_WITH_LORA = 1.2
"""A picture with an unfused LoRA against one without."""


def measured_pace(
    plan: ForgePlan, config: TrainingConfig, judges: Judges, looking_s: float, warehouse: Warehouse
) -> Pace:
    """Train a few steps and render a few pictures, with a clock; nothing is kept but cached latents.

    Args:
        plan: What is forged.
        config: Its training.
        judges: Who will judge.
        looking_s: What opening them and looking at the references took, s; it comes again.
        warehouse: Where the models are.
    """
    step_s, begin_s = _training_s(config, warehouse)
    picture_s, loading_s = _picture_s(plan, judges, warehouse)
    fixed_s = begin_s + looking_s + loading_s + _REPORTS_S
    return Pace(step_s=round(step_s, 4), picture_s=round(picture_s, 4), fixed_s=round(fixed_s, 1))


def _training_s(config: TrainingConfig, warehouse: Warehouse) -> tuple[float, float]:
    """Time of one step, and that of everything before the first, s."""
    started = time.monotonic()
    prepared = prepare(config, warehouse)
    setup = build(prepared, TensorCache(warehouse.training_cache))
    state = RunState(loss_scale=LossScale.for_dtype(prepared.plan.dtype))
    begin_s, laps = time.monotonic() - started, []
    for _ in range(_WARM_STEPS + _STEPS):
        started = time.monotonic()
        take_step(setup, state).tolist()  # waits for the device
        state.step += 1
        laps.append(time.monotonic() - started)
    return sum(laps[_WARM_STEPS:]) / _STEPS, begin_s


def _picture_s(plan: ForgePlan, judges: Judges, warehouse: Warehouse) -> tuple[float, float]:
    """Time of one picture with a LoRA, rendered and judged, and that of loading what renders, s."""
    base = Registry(warehouse).get(plan.model, "base")
    generator, side = Generator(warehouse), native_side(base.card, base.family)
    asked = GenerationRequest(
        prompt="1girl",
        model=base.name,
        width=side,
        height=side,
        steps=plan.sampling_steps,
        seed=1,
        count=FULL,
    )
    laps = []
    for _ in range(2):
        started = time.monotonic()
        made = list(generator.generate_many([asked], way=Way(micro_batch=FULL)))
        laps.append(time.monotonic() - started)
    folder = plan.out / "pace"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{index}.png" for index in range(len(made))]
    for file, one in zip(files, made, strict=True):
        one.image.save(file)
    started = time.monotonic()
    look(judges, files)
    judging_s = time.monotonic() - started
    shutil.rmtree(folder)
    return (_WITH_LORA * laps[1] + judging_s) / FULL, max(laps[0] - laps[1], 0.0)
