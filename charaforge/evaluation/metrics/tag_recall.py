"""Tag recall: how much of what the prompt asks for is there."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.identity import Scores
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "tag_recall",
    "Tag recall",
    "share",
    "higher",
    "a tagger that knows the prompts' expected tags",
    "Share of the expected tags that the tagger sees. Fixed traits of the character are no part of it.",
)
SEEN = 0.5
"""Probability from which on a tag is seen."""


def recalls(tags: npt.NDArray[np.float32], names: Sequence[str], expected: Sequence[Sequence[str]]) -> Scores:
    """(N,) share of each picture's expected tags that are seen; NaN where the tagger knows none of them.

    Args:
        tags: (N, T) probabilities.
        names: The T tags.
        expected: Per picture the tags that it should show.
    """
    place = {name: index for index, name in enumerate(names)}
    result = np.full(len(tags), np.nan)
    for row, wanted in enumerate(expected):
        known = [place[tag] for tag in wanted if tag in place]
        if known:
            result[row] = float((tags[row, known] >= SEEN).mean())
    return result
