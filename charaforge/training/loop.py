"""The story of a training run: draw, predict, correct, look, keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from charaforge.errors import CharaForgeError
from charaforge.logs import Progress
from charaforge.training.batches import Draw, by_key, draws, micro_batches
from charaforge.training.checkpoint import RunState
from charaforge.training.interrupt import Interrupt
from charaforge.training.keeping import Keeper
from charaforge.training.rates import rate_factor, set_rate
from charaforge.training.setup import Setup


def train(setup: Setup, state: RunState, keeper: Keeper) -> RunState:
    """Train from `state` to the end: the last step, or an early stop.

    Args:
        setup: the parts of the run; the adapter holds the weights that belong to `state`.
        state: how far the run is.
        keeper: writes down what happens.

    Returns:
        The state at the end, `ended` set.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the state is saved, and the same run goes on from there.
        CharaForgeError: the loss is not finite.
    """
    config = setup.config
    if state.step == 0:
        keeper.look(state)
    with (
        Interrupt() as interrupt,
        Progress(config.max_train_steps, "training", "steps", state.step) as progress,
    ):
        while not state.ended:
            loss = take_step(setup, state)
            state.step += 1
            keeper.note(state, loss)
            progress.advance(note=f"loss {keeper.smooth_loss:.4f}{keeper.held_out_note}")
            looked = _look_and_keep(setup, state, keeper)
            stopping = setup.processes.any(interrupt.wished) and not state.ended
            if looked or stopping:
                keeper.save(state)
            if stopping:
                raise KeyboardInterrupt
    return state


def _look_and_keep(setup: Setup, state: RunState, keeper: Keeper) -> bool:
    """Measure, write a checkpoint, end the run, each when it is time; return whether anything was done."""
    config = setup.config
    last = state.step >= config.max_train_steps
    look = last or state.step % config.validate_every_steps == 0
    if look:
        keeper.look(state)
    if last:
        state.ended = "steps"
    elif config.early_stop_patience and state.stale >= config.early_stop_patience:
        state.ended = "early stop"
    keep = bool(state.ended) or state.step % config.save_every_steps == 0
    if keep:
        keeper.checkpoint(state)
    return look or keep


def take_step(setup: Setup, state: RunState) -> float:
    """Make one step of the optimiser.

    Returns:
        The mean loss over the pictures of this process.
    """
    config, processes = setup.config, setup.processes
    batch = draws(config, setup.deck, len(setup.schedule), state.step, processes.count)
    scale = state.loss_scale.value if state.loss_scale else 1.0
    total = torch.zeros((), device=processes.device)
    for micro in micro_batches(batch, processes.rank, processes.count, config.train_batch_size):
        for group in by_key(micro, setup.deck.shapes):
            loss = _losses_of(setup, group).sum() / config.pictures_per_step
            (loss * scale).backward()
            total += loss.detach()
    _correct(setup, state, scale)
    return float(total)


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


def _correct(setup: Setup, state: RunState, scale: float) -> None:
    """Bring gradients together, clip them, and let the optimiser move the weights."""
    gradients = setup.adapter.gather_gradients()
    setup.processes.average(gradients)
    torch._foreach_mul_(gradients, 1.0 / scale)
    norm = torch.nn.utils.get_total_norm(gradients)
    finite = math.isfinite(float(norm))
    if state.loss_scale:
        state.loss_scale.update(finite)
    elif not finite:
        raise CharaForgeError(
            f"the loss is not finite in step {state.step + 1}",
            f"lower learning_rate (it is {setup.config.learning_rate:g}), or set mixed_precision: no",
        )
    if finite:
        torch._foreach_mul_(gradients, min(1.0, setup.config.max_grad_norm / (float(norm) + 1e-6)))
        set_rate(setup.optimizer, rate_factor(setup.config, state.step))
        setup.optimizer.step()
        setup.adapter.publish()
    setup.adapter.clear_gradients()
