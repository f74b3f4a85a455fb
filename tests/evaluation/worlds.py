"""Studies whose references are drawn too: embeddings of a character, of what a LoRA draws, of strangers."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.gallery import Gallery
from charaforge.evaluation.identity import likeness
from charaforge.evaluation.impostors import Impostors
from charaforge.evaluation.standard import Standard, set_thresholds
from charaforge.evaluation.statistics import share, spread
from charaforge.evaluation.threshold import strictest

PROMPTS, SEEDS, WIDTH, REFERENCES = 40, 4, 32, 8
Floats = npt.NDArray[np.float64]


def unit(vectors: Floats) -> npt.NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class World:
    """A character's embeddings, and strangers.

    Args:
        unlike: How far apart its real pictures lie.
        bias: How far from it the LoRA's pictures lie.
        moods: How far apart prompts lie.
        noise: How far apart the pictures of one prompt lie.
    """

    def __init__(self, unlike: float, bias: float, moods: float, noise: float) -> None:
        self.rng = np.random.default_rng(1)
        self._own = unit(self._draw(1)[0])
        self._drawn = unit(self._own + bias * unit(self._draw(1)[0]))
        self._unlike, self._moods, self._noise = unlike, moods, noise
        others = np.repeat(unit(0.3 * self._own + unit(self._draw(100))), 5, axis=0)
        found = unit(others + 0.35 * self._near(500))
        self.strangers = Impostors("real", found, ("",) * 500, (frozenset(),) * 500)

    def _draw(self, *count: int) -> Floats:
        return self.rng.normal(size=(*count, WIDTH))

    def _near(self, *count: int) -> Floats:
        return self._draw(*count) / np.sqrt(WIDTH)

    def references(self, count: int) -> npt.NDArray[np.float32]:
        apart = self.rng.uniform(0.5, 1.5, (count, 1))
        return unit(self._own + self._unlike * apart * self._near(count))

    def pictures(self, prompts: int) -> Any:
        moods = self._moods * self._near(prompts, 1)
        found = unit(self._drawn + moods + self._noise * self._near(prompts, SEEDS)).reshape(-1, WIDTH)
        people = np.ones(len(found), np.int64)
        return SimpleNamespace(identity=found, people=people, clarity=people.astype(float))

    def standard(self, references: npt.NDArray[np.float32]) -> Standard:
        hard = np.zeros(500, bool)
        thresholds = set_thresholds({"real": likeness(self.strangers.embeddings, references)}, hard)
        seen: Any = SimpleNamespace(identity=references)
        asked: Any = dict.fromkeys(("histogram", "ceiling"))
        return Standard(
            seen,
            len(references),
            (self.strangers,),
            hard,
            thresholds,
            strictest(thresholds),
            Gallery({}),
            0.0,
            signature="",
            **asked,
        )


@dataclass(frozen=True)
class Missed:
    """How the lower bound fares in many studies of one world.

    Attributes:
        truth: Share of pictures accepted, over all pictures and references.
        deviation: How far the share strays with the references alone.
        above: Share of studies whose lower bound exceeds the truth.
        blind: The same, as if the references drawn were the only ones.
        bound: Mean lower bound.
    """

    truth: float
    deviation: float
    above: float
    blind: float
    bound: float


def missed(world: World, studies: int) -> Missed:
    """Draw studies of a world: references, prompts, pictures."""
    many = world.pictures(500)
    rates = [world.standard(world.references(REFERENCES)).judge(many).accepted.mean() for _ in range(300)]
    truth = float(np.mean(rates))
    bounds = []
    for _ in range(studies):
        standard, seen = world.standard(world.references(REFERENCES)), world.pictures(PROMPTS)
        accepts = standard.judge(seen).accepted.reshape(PROMPTS, SEEDS)
        variance = spread(standard.redrawn({"lora": seen})["lora"])
        bounds.append((share(accepts, reference_variance=variance).low, share(accepts).low))
    above, blind = (np.array(bounds) > truth).mean(axis=0).tolist()
    return Missed(truth, float(np.std(rates)), above, blind, float(np.mean(bounds, axis=0)[0]))
