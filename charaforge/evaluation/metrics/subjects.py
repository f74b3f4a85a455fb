"""Whether a picture shows exactly one subject."""

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.features import Features
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "one_subject",
    "Exactly one subject",
    "share",
    "higher",
    "a person detector, or a pose estimator",
    "One person is detected; without a detector: the key points are about as clear as in real pictures.",
)
CLARITY_SHARE = 0.75
"""How clear a figure has to be, as a share of what is usual in real pictures.

Noise, flat colours and two figures side by side reach 0.35 to 0.6 with mini-pose, single figures 0.9 to 1.1.
"""


def clarity_bar(real: Features) -> float:
    """The clarity of key points from which on a figure counts, from real pictures of one character."""
    return CLARITY_SHARE * float(np.median(real.clarity)) if len(real) else 0.0


def one_subject(features: Features, bar: float) -> npt.NDArray[np.bool_]:
    """Whether each of N pictures shows exactly one subject; all True where nothing can tell (``bar`` 0)."""
    detected = features.people >= 0
    return np.asarray(np.where(detected, features.people == 1, features.clarity >= bar), np.bool_)
