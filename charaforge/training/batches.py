"""Which picture, wording and timestep stand where in the batch of a step: functions of the step alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from charaforge.training import randomness
from charaforge.training.config import TrainingConfig

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Draw:
    """One place in the batch of a step.

    Attributes:
        step: the step, 0 for the first.
        position: place in the batch over all processes.
        sample: number of the training picture.
        timestep: how noisy it is made, 0 ... T-1.
        wordless: whether its caption is dropped.
    """

    step: int
    position: int
    sample: int
    timestep: int
    wordless: bool


def draws(config: TrainingConfig, samples: int, timesteps: int, step: int, processes: int) -> list[Draw]:
    """Return the whole batch of a step, over all processes.

    Args:
        config: batch size, accumulation, caption dropout, seed.
        samples: number of training pictures.
        timesteps: number T of timesteps.
        step: 0 for the first.
        processes: number of processes.
    """
    size = config.pictures_per_step * processes
    return [
        Draw(
            step=step,
            position=position,
            sample=_sample(config.seed, samples, step * size + position),
            timestep=randomness.timestep(timesteps, position, size, config.seed, step),
            wordless=randomness.rng(config.seed, "wordless", step, position).random()
            < config.caption_dropout,
        )
        for position in range(size)
    ]


def micro_batches(batch: Sequence[Draw], rank: int, processes: int, size: int) -> list[list[Draw]]:
    """Return one process's share of a batch, in passes of at most `size` pictures."""
    share = batch[rank::processes]
    return [list(share[start : start + size]) for start in range(0, len(share), size)]


def by_key(places: Iterable[Draw], keys: Sequence[Key]) -> list[list[Draw]]:
    """Group draws whose pictures have the same key (such as a size): only those fit in one tensor."""
    keyed = sorted(((str(keys[d.sample]), d.position, d) for d in places), key=itemgetter(0, 1))
    return [[d for _, _, d in group] for _, group in groupby(keyed, key=itemgetter(0))]


def _sample(seed: int, samples: int, place: int) -> int:
    """Return the picture at a place of the endless stream: every epoch is a shuffle of all pictures."""
    return _epoch(seed, samples, place // samples)[place % samples]


@lru_cache(maxsize=4)
def _epoch(seed: int, samples: int, epoch: int) -> tuple[int, ...]:
    order = list(range(samples))
    randomness.rng(seed, "epoch", epoch).shuffle(order)
    return tuple(order)
