"""What every recipe is told: where to work, where to leave the result, and how long to train."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings shared by all recipes.

    Attributes:
        work: Folder for banks and checkpoints; the same folder again continues a stopped training.
        out: Folder of finished weights; each recipe writes the folder of its model there.
        samples: How many pictures to train on in total; None for the recipe's own number.
        seed: Seed of the initial weights and of all random choices.
    """

    work: Path
    out: Path
    samples: int | None = None
    seed: int = 0
