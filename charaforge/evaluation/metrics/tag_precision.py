"""Tag precision: how much of what is there was asked for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.identity import Scores
from charaforge.evaluation.metrics.metric import Metric
from charaforge.evaluation.metrics.tag_recall import SEEN

METRIC = Metric(
    "tag_precision",
    "Tag precision",
    "share",
    "higher",
    "a tagger that knows the prompts' expected tags",
    "Of the tags seen that any prompt of the file asks for, the share that this one asks for; a background "
    "or outfit that comes unasked lowers it.",
)


def precisions(
    tags: npt.NDArray[np.float32],
    names: Sequence[str],
    expected: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
) -> Scores:
    """(N,) precision of each picture; NaN where nothing of the vocabulary is seen.

    Args:
        tags: (N, T) probabilities.
        names: The T tags.
        expected: Per picture the tags that it should show.
        vocabulary: Tags that count: those that some prompt asks for.
    """
    judged = np.array([name in set(vocabulary) for name in names], bool)
    seen = (tags >= SEEN) & judged
    result = np.full(len(tags), np.nan)
    for row, wanted in enumerate(expected):
        asked = np.array([name in set(wanted) for name in names], bool)
        if seen[row].any():
            result[row] = float((seen[row] & asked).sum() / seen[row].sum())
    return result
