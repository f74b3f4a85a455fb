"""What every metric says about itself."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: Its name in ``report.json``.
        label: What the report calls it.
        unit: "share", "cosine", "degrees", …
        better: Which direction is better; "neither" where a value in between is right.
        needs: What it cannot be measured without, in words.
        meaning: One sentence.
    """

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    needs: str
    meaning: str
