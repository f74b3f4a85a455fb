"""Tag leak: what was frequent in training and now comes unasked."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.identity import Scores
from charaforge.evaluation.metrics.metric import Metric
from charaforge.evaluation.metrics.tag_recall import SEEN

METRIC = Metric(
    "tag_leak",
    "Tag leak",
    "share",
    "lower",
    "a tagger, captions of the training pictures",
    "How much more often tags of a fifth of the training pictures or more appear unasked than on the base "
    "model with the same prompts and seeds; mean over these tags of what is above zero.",
)
FREQUENT = 0.2
"""Share of the training pictures from which on a tag may leak."""


def leaks(
    pictures: npt.NDArray[np.float32],
    base: npt.NDArray[np.float32],
    names: Sequence[str],
    prompted: Sequence[Sequence[str]],
    trained: Mapping[str, float],
    traits: Sequence[str],
) -> tuple[Scores, dict[str, float]]:
    """Compare a LoRA's pictures with the base's.

    Args:
        pictures: (N, T) probabilities.
        base: (N, T) of the base model, same prompts and seeds.
        names: The T tags.
        prompted: Per picture the words of its prompt.
        trained: Tag -> share of the training pictures that have it.
        traits: The character's fixed traits, which are wanted and no leak.

    Returns:
        (N,) leak of each picture, NaN where every frequent tag was asked for; and by tag its mean excess.
    """
    watched = [i for i, tag in enumerate(names) if trained.get(tag, 0) >= FREQUENT and tag not in traits]
    asked = np.array([[names[i] in words for i in watched] for words in prompted], bool).reshape(
        -1, len(watched)
    )
    excess = (pictures[:, watched] >= SEEN).astype(float) - (base[:, watched] >= SEEN)
    excess = np.where(asked, np.nan, excess)
    by_tag = {
        names[i]: float(np.nanmean(column))
        for i, column in zip(watched, excess.T, strict=True)
        if not np.isnan(column).all()
    }
    leaking = [k for k, i in enumerate(watched) if by_tag.get(names[i], 0.0) > 0]
    result = np.zeros(len(pictures))
    if by_tag:
        free = (~np.isnan(excess)).any(axis=1)
        result = np.nansum(excess[:, leaking], axis=1) / len(by_tag)
        result[~free] = np.nan
    return result, dict(sorted(by_tag.items(), key=lambda item: -item[1]))
