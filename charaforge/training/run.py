"""One training run from its configuration to the finished folder."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from charaforge.config import dump_yaml
from charaforge.errors import UsageError
from charaforge.logs import get_logger
from charaforge.training.base import load_base
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState, StateFolder, told_when_full
from charaforge.training.config import TrainingConfig
from charaforge.training.curves import check_curves
from charaforge.training.dataset import load_dataset
from charaforge.training.export import Exporter
from charaforge.training.journal import Journal
from charaforge.training.keeping import Keeper
from charaforge.training.loop import Sampler, train
from charaforge.training.model_card import model_card
from charaforge.training.precision import LossScale
from charaforge.training.preflight import (
    check_captions,
    check_output,
    check_space,
    report,
    write_quarantine,
)
from charaforge.training.preflight.memory import gpu_memory
from charaforge.training.processes import Processes
from charaforge.training.setup import Prepared, Setup, build, identity, make_plan
from charaforge.warehouse.atomic import write_text
from charaforge.warehouse.layout import Warehouse

logger = get_logger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run made.

    Attributes:
        lora_file: the LoRA.
        steps: steps that were trained.
        chosen_step: the step whose weights the LoRA has.
        ended: "steps", or "early stop".
        best_loss: lowest validation loss, None where nothing was held out.
        seconds: wall time of this call; less than the whole run where it went on from a saved state.
    """

    lora_file: Path
    steps: int
    chosen_step: int
    ended: str
    best_loss: float | None
    seconds: float


def prepare(config: TrainingConfig, warehouse: Warehouse) -> Prepared:
    """Load the base, decode every picture, check every caption: everything but training.

    Raises:
        CharaForgeError: the run cannot begin; the subclass and message say why.
    """
    check_output(config)
    processes = Processes()
    plan = make_plan(config, processes)
    base = load_base(config, warehouse, torch.device("cpu"))
    dataset = load_dataset(config, warehouse, base.resolution, base.multiple)
    prepared = Prepared(config, plan, base, dataset, processes)
    check_captions(prepared)
    check_space(prepared)
    return prepared


def run(config: TrainingConfig, warehouse: Warehouse) -> TrainingResult:
    """Train a LoRA; a run that was stopped goes on where it was, a finished one is only reported.

    Writes into `config.output_dir`: the LoRA, `checkpoints/`, `state/`, `MODEL_CARD.md`,
    `resolved_config.yaml`, `events.jsonl` and `samples/`.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved.
        CharaForgeError: the run cannot begin or go on; the subclass and message say why.
    """
    started = time.monotonic()
    check_curves(config)
    prepared = prepare(config, warehouse)
    memory = gpu_memory(prepared.processes.device)
    for line in report(prepared, memory, estimate=memory is not None) if prepared.processes.leads else ():
        logger.info("%s", line)
    folder = _open_folder(config.output_dir)
    if prepared.processes.leads:
        write_quarantine(prepared.dataset, folder)
    states = StateFolder(folder / "state", identity(prepared))
    exporter = Exporter(folder, prepared)
    state = states.peek()
    if state and state.ended and exporter.lora_file.is_file():
        logger.info("%s is finished already", config.output_dir)
    else:
        cache = TensorCache(warehouse.training_cache)
        setup = build(prepared, cache)
        if prepared.processes.leads:
            cache.trim()
        sampler = _sampler(prepared, setup, warehouse, exporter)
        state = _train(prepared, setup, states, Journal(folder / "events.jsonl"), exporter, sampler)
    return TrainingResult(
        lora_file=exporter.lora_file,
        steps=state.step,
        chosen_step=_chosen_step(config, state),
        ended=state.ended,
        best_loss=state.best_loss,
        seconds=time.monotonic() - started,
    )


def set_aside(output_dir: Path) -> None:
    """Rename the state of an earlier run (`state-1`, `state-2` …), so that the next one begins anew."""
    state = output_dir / "state"
    if state.is_dir():
        taken = sum(1 for _ in output_dir.glob("state-*"))
        state.rename(output_dir / f"state-{taken + 1}")


def _train(
    prepared: Prepared,
    setup: Setup,
    states: StateFolder,
    journal: Journal,
    exporter: Exporter,
    sampler: Sampler | None,
) -> RunState:
    state = states.restore(setup.adapter, setup.optimizer)
    if state.step == 0:
        state.loss_scale = LossScale.for_dtype(prepared.plan.dtype)
    if prepared.processes.leads:
        _open_books(prepared, state, journal)
    setup.processes.wait()
    keeper = Keeper(setup, states, journal, exporter)
    with closing(keeper):
        state = train(setup, state, keeper, sampler)
    if prepared.processes.leads:
        _finish(prepared, setup, states, state, exporter, sampler)
        journal.write("end", state.step, reason=state.ended, chosen=_chosen_step(prepared.config, state))
    setup.processes.wait()
    return state


def _open_books(prepared: Prepared, state: RunState, journal: Journal) -> None:
    """Write what is known before the first step."""
    folder = prepared.config.output_dir
    resolved = prepared.config.model_copy(update={"resolution": prepared.base.resolution})
    write_text(folder / "resolved_config.yaml", dump_yaml(resolved))
    if state.step == 0:
        journal.clear()
        journal.write("start", 0, steps=prepared.config.max_train_steps, **identity(prepared))
        for line in prepared.plan.warnings:
            journal.write("warning", 0, message=line)
    else:
        journal.forget_after(state.step)
        journal.write("resume", state.step)
        logger.info("going on after step %d", state.step)


def _finish(
    prepared: Prepared,
    setup: Setup,
    states: StateFolder,
    state: RunState,
    exporter: Exporter,
    sampler: Sampler | None,
) -> None:
    """Write the card and samples, and last the LoRA with the chosen weights: it marks the run as finished."""
    chosen = _chosen_step(prepared.config, state)
    if chosen != state.step:
        setup.adapter.load_state(states.load_best())
    write_text(prepared.config.output_dir / "MODEL_CARD.md", model_card(prepared, state, chosen))
    if sampler:
        sampler(chosen)
    with told_when_full("the LoRA", prepared.config.output_dir):
        exporter.finish(setup.adapter, chosen)


def _sampler(prepared: Prepared, setup: Setup, warehouse: Warehouse, exporter: Exporter) -> Sampler | None:
    """Return what renders samples of a step, in the process that leads; None where none are wanted."""
    if not prepared.config.sample_prompts or not prepared.processes.leads:
        return None
    from charaforge.training.samples import Samples

    samples = Samples(prepared, warehouse, exporter, setup.unet)
    return lambda step: samples.render(setup.adapter, step)


def _chosen_step(config: TrainingConfig, state: RunState) -> int:
    """Return the step whose weights become the LoRA: the best if early stopping is on, else the last."""
    return state.best_step if config.early_stop_patience and state.best_loss is not None else state.step


def _open_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"output_dir {folder} cannot be written to: {error.strerror}", "give a folder you may write to"
        ) from error
    return folder
