"""Which picture, view, wording and timestep stand where in the batch of a step: functions of the step alone.

An epoch shows every picture exactly as often as it is to be repeated. Within an epoch, pictures of one shape
are put together as far as that is possible without losing or favouring any: a pass over pictures of one shape
is one call of the UNet. What is left of each shape makes mixed groups, and the end of an epoch shares a
group with the beginning of the next. Where all pictures have one shape, the order is a plain shuffle,
whatever the batch size.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Self, TypeVar

from charaforge.training import randomness
from charaforge.training.config import TrainingConfig
from charaforge.training.dataset import Sample
from charaforge.training.loss.timesteps import timestep

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Draw:
    """One place in the batch of a step.

    Attributes:
        step: the step, 0 for the first.
        position: place in the batch over all processes.
        sample: number of the training picture.
        view: number of its view: which cut, mirrored or not.
        timestep: how noisy it is made, 0 ... T-1.
        wordless: whether its caption is dropped.
    """

    step: int
    position: int
    sample: int
    view: int
    timestep: int
    wordless: bool


@dataclass(frozen=True)
class Card:
    """What the order of an epoch needs to know of a picture.

    Attributes:
        shape: (width, height), px.
        repeats: how often an epoch shows it; of a regularisation picture it does not count.
        views: number of its views.
        prior: whether it is a regularisation picture.
    """

    shape: tuple[int, int]
    repeats: int = 1
    views: int = 1
    prior: bool = False


@dataclass(frozen=True)
class Deck:
    """All training pictures in the order of their numbers.

    Where there are regularisation pictures, an epoch shows as many of them as of the others, each as often
    as the rest or once more.
    """

    cards: tuple[Card, ...]

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Self:
        """Return the deck of the pictures."""
        return cls(tuple(Card(s.size, s.repeats, len(s.views), s.prior) for s in samples))

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of each picture."""
        return [card.shape for card in self.cards]

    @property
    def epoch_length(self) -> int:
        """Places of an epoch."""
        shown = sum(card.repeats for card in self.cards if not card.prior)
        return shown * (2 if any(card.prior for card in self.cards) else 1)


def draws(config: TrainingConfig, deck: Deck, timesteps: int, step: int, processes: int) -> list[Draw]:
    """Return the whole batch of a step, over all processes.

    Args:
        config: batch size, accumulation, caption dropout, seed.
        deck: the training pictures.
        timesteps: number T of timesteps.
        step: 0 for the first.
        processes: number of processes.
    """
    size = config.pictures_per_step * processes
    group = config.train_batch_size * processes
    strata = list(range(size))
    randomness.rng(config.seed, "strata", step).shuffle(strata)  # or shapes would keep to certain timesteps
    return [
        _draw(config, deck, _picture(config.seed, deck, group, step * size + position), step, position, t)
        for position, t in enumerate(
            timestep(config, timesteps, seed=config.seed, step=step, position=stratum, batch=size)
            for stratum in strata
        )
    ]


def _draw(config: TrainingConfig, deck: Deck, sample: int, step: int, position: int, when: int) -> Draw:
    chance = randomness.rng(config.seed, "view", step, position)
    wordless = randomness.rng(config.seed, "wordless", step, position).random() < config.caption_dropout
    return Draw(step, position, sample, chance.randrange(deck.cards[sample].views), when, wordless)


def micro_batches(batch: Sequence[Draw], rank: int, processes: int, size: int) -> list[list[Draw]]:
    """Return one process's share of a batch, in passes of at most `size` pictures."""
    share = batch[rank::processes]
    return [list(share[start : start + size]) for start in range(0, len(share), size)]


def by_key(places: Iterable[Draw], keys: Sequence[Key]) -> list[list[Draw]]:
    """Group draws whose pictures have the same key (such as a size): only those fit in one tensor."""
    keyed = sorted(((str(keys[d.sample]), d.position, d) for d in places), key=itemgetter(0, 1))
    return [[d for _, _, d in group] for _, group in groupby(keyed, key=itemgetter(0))]


def _picture(seed: int, deck: Deck, group: int, place: int) -> int:
    """Return the picture at a place of the endless stream of epochs."""
    epoch, rest = divmod(place, deck.epoch_length)
    return epoch_order(seed, deck, group, epoch)[rest]


@dataclass(frozen=True)
class _Place:
    key: int
    shape: tuple[int, int]
    sample: int


@lru_cache(maxsize=4)
def epoch_order(seed: int, deck: Deck, group: int, epoch: int) -> tuple[int, ...]:
    """Return the pictures of an epoch in their order.

    Args:
        seed: of the run.
        deck: the training pictures.
        group: pictures that are computed at once, over all processes.
        epoch: 0 for the first.
    """
    samples = [n for n, card in enumerate(deck.cards) if not card.prior for _ in range(card.repeats)]
    samples += _priors(seed, deck, len(samples), epoch)
    keys = list(range(len(samples)))
    randomness.rng(seed, "epoch", epoch).shuffle(keys)
    places = sorted(map(_Place, keys, (deck.cards[n].shape for n in samples), samples), key=attrgetter("key"))
    if len({place.shape for place in places}) > 1:
        places = _grouped(places, group, start=-epoch * deck.epoch_length % group)
    return tuple(place.sample for place in places)


def _priors(seed: int, deck: Deck, count: int, epoch: int) -> list[int]:
    """Return the regularisation pictures of an epoch: the next `count` of an endless shuffle of them."""
    priors = [n for n, card in enumerate(deck.cards) if card.prior]
    if not priors:
        return []
    found: list[int] = []
    for round_ in range(epoch * count // len(priors), ((epoch + 1) * count - 1) // len(priors) + 1):
        order = list(priors)
        randomness.rng(seed, "prior", round_).shuffle(order)
        found += order
    skipped = epoch * count % len(priors)
    return found[skipped : skipped + count]


def _grouped(places: list[_Place], group: int, start: int) -> list[_Place]:
    """Order places so that groups of one shape stand together; none is lost.

    Args:
        places: shuffled.
        group: size of a group.
        start: places until the first group of this epoch begins; they complete the last of the epoch before.
    """
    full: list[list[_Place]] = []
    left: list[_Place] = []
    by_shape = sorted(places, key=attrgetter("shape"))  # stable: shuffled within each shape
    for _, alike in groupby(by_shape, key=attrgetter("shape")):
        row = list(alike)
        whole = len(row) - len(row) % group
        full += [row[at : at + group] for at in range(0, whole, group)]
        left += row[whole:]
    while len(left) < start and full:
        left += full.pop()
    first, rest = left[:start], left[start:]
    whole = len(rest) - len(rest) % group
    full += [rest[at : at + group] for at in range(0, whole, group)]
    full.sort(key=lambda places_of_one: places_of_one[0].key)
    return [*first, *(place for one in full for place in one), *rest[whole:]]
