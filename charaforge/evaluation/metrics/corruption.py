"""Corruption: pictures that are broken, whoever they show."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.features import Features
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "corruption",
    "Corrupted pictures",
    "share",
    "lower",
    "real pictures to compare with",
    "Flat (a third of the least contrast of real pictures or less) or noisy (twice the roughest of them or "
    "more).",
)
_FLAT, _NOISY = 1 / 3, 2.0


@dataclass(frozen=True)
class Bounds:
    """What whole pictures look like: least contrast and greatest roughness, levels of 255."""

    contrast: float
    roughness: float


def bounds(real: Features) -> Bounds:
    """Bounds from real pictures."""
    return Bounds(_FLAT * float(real.contrast.min()), _NOISY * float(real.roughness.max()))


def corrupted(features: Features, limits: Bounds) -> npt.NDArray[np.bool_]:
    """(N,) whether each picture is broken."""
    return np.asarray(
        (features.contrast <= limits.contrast) | (features.roughness >= limits.roughness), np.bool_
    )
