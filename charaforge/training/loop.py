"""The story of a training run: draw, predict, correct, look, keep."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from charaforge.logs import Progress
from charaforge.training.arrangement import kept_activations
from charaforge.training.batches import Draw, by_key, draws, micro_batches
from charaforge.training.checkpoint import RunState
from charaforge.training.interrupt import Interrupt
from charaforge.training.keeping import Keeper
from charaforge.training.rates import rate_factor, set_rate
from charaforge.training.setup import Setup

Sampler = Callable[[int], None]

_READ_EVERY = 10
"""Steps on a GPU between two readings of losses: each makes it wait."""


def train(setup: Setup, state: RunState, keeper: Keeper, sampler: Sampler | None = None) -> RunState:
    """Train from `state` to the end: the last step, or an early stop.

    Args:
        setup: the parts of the run; the adapter holds the weights that belong to `state`.
        state: how far the run is.
        keeper: writes down what happens.
        sampler: renders samples of the step it is given, with the present weights.

    Returns:
        The state at the end, `ended` set.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved, and the same run goes on from there.
        CharaForgeError: the loss is not finite again and again, or nothing can be written any more.
    """
    config = setup.config
    if state.step == 0:
        keeper.look(state)
        keeper.save(state)
    with (
        Interrupt() as interrupt,
        Progress(config.max_train_steps, "training", "steps", state.step) as progress,
    ):
        while not state.ended:
            if state.step not in state.skipped:
                keeper.note(state.step + 1, take_step(setup, state))
            state.step += 1
            stopping = False
            if _time_to_read(setup, state.step) or (setup.processes.count == 1 and interrupt.wished):
                stopping = setup.processes.any(interrupt.wished)
                settled = keeper.settle(state)
                if settled is not state:
                    state = settled
                    progress.done = state.step
                    continue
            progress.advance(note=keeper.note_for_showing(state))
            looked = _look_and_keep(setup, state, keeper)
            stopping = stopping and not state.ended
            if looked or stopping:
                keeper.save(state)
            if sampler and not state.ended and _is_time(config.sample_every_steps, state.step):
                sampler(state.step)
            if stopping:
                raise KeyboardInterrupt
    return state


def _is_time(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _time_to_read(setup: Setup, step: int) -> bool:
    """Return whether losses are read after a step: every few steps, and before anything is written."""
    config = setup.config
    often = config.log_every_steps or (1 if setup.processes.device.type == "cpu" else _READ_EVERY)
    writes = (config.validate_every_steps, config.save_every_steps, config.sample_every_steps)
    return step >= config.max_train_steps or any(_is_time(every, step) for every in (often, *writes))


def _look_and_keep(setup: Setup, state: RunState, keeper: Keeper) -> bool:
    """Measure, write a checkpoint, end the run, each when it is time; return whether anything was done."""
    config = setup.config
    last = state.step >= config.max_train_steps
    look = last or _is_time(config.validate_every_steps, state.step)
    if look:
        keeper.look(state)
    if last:
        state.ended = "steps"
    elif config.early_stop_patience and state.stale >= config.early_stop_patience:
        state.ended = "early stop"
    keep = bool(state.ended) or _is_time(config.save_every_steps, state.step)
    if keep:
        keeper.checkpoint(state)
    return look or keep


def take_step(setup: Setup, state: RunState) -> Tensor:
    """Make one step of the optimiser.

    Returns:
        (2,) on the device, not waited for: the mean loss over the pictures of this process, and the length of
        the gradient.
    """
    config, processes = setup.config, setup.processes
    batch = draws(config, setup.deck, len(setup.schedule), state.step, processes.count)
    scale = state.loss_scale.value if state.loss_scale else 1.0
    total = torch.zeros((), device=processes.device)
    for micro in micro_batches(batch, processes.rank, processes.count, config.train_batch_size):
        for group in by_key(micro, setup.deck.shapes):
            with setup.adapter.dropping([(draw.step, draw.position) for draw in group]):
                with kept_activations(config, processes.device):
                    loss = _losses_of(setup, group).sum() / config.pictures_per_step
                (loss * scale).backward()
            total += loss.detach()
    return torch.stack([total, _correct(setup, state, scale)])


def _losses_of(setup: Setup, group: list[Draw]) -> Tensor:
    """Return the loss of each draw; their pictures have one size."""
    clean = setup.latents.of_draws(group)
    losses = setup.objective.losses(
        setup.unet,
        clean,
        torch.tensor([draw.timestep for draw in group]),
        setup.words.of_draws(group),
        [(draw.step, draw.position) for draw in group],
        setup.latents.masks(group),
    )
    return losses * setup.latents.weights(group)


def _correct(setup: Setup, state: RunState, scale: float) -> Tensor:
    """Bring gradients together, cut them to length, and let the optimiser move the weights.

    Only fp16 makes the computer wait for the device here, to learn whether the step has to be left out.

    Returns:
        () length of the gradient before it was cut; 0 of a step that fp16 left out.
    """
    gradients = setup.adapter.gather_gradients()
    setup.processes.average(gradients)
    if scale != 1.0:
        torch._foreach_mul_(gradients, 1.0 / scale)
    norm = torch.nn.utils.get_total_norm(gradients)
    left_out = False
    if state.loss_scale:
        left_out = not math.isfinite(float(norm))
        state.loss_scale.update(not left_out)
    if not left_out:
        if setup.config.max_grad_norm:
            torch._foreach_mul_(gradients, (setup.config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
        set_rate(setup.optimizer, rate_factor(setup.config, state.step))
        setup.optimizer.step()
        setup.adapter.publish()
    setup.adapter.clear_gradients()
    return torch.zeros_like(norm) if left_out else norm
