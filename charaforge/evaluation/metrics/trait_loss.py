"""Trait loss: the fixed trait that gets lost most, such as the colour of the eyes.

The identity encoder looks at the whole; a LoRA that has not learnt yet whether the eyes are red or purple may
pass it. Real pictures say how often a trait is to be seen at all: closed eyes have no colour.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.identity import Scores
from charaforge.evaluation.metrics.metric import Metric
from charaforge.evaluation.metrics.tag_recall import SEEN

METRIC = Metric(
    "trait_loss",
    "Trait that is lost most",
    "share",
    "lower",
    "a tagger that knows the character's traits",
    "By how much the one of the character's fixed traits that suffers most is rarer than in real pictures.",
)
USUAL = 0.5
"""Share of the real pictures from which on a trait is expected."""


def usual_shares(
    tags: npt.NDArray[np.float32], names: Sequence[str], traits: Sequence[str]
) -> dict[str, float]:
    """Trait -> share of real pictures in which it is seen; rare and unknown ones are left out.

    Args:
        tags: (N, T) probabilities in real pictures of the character.
        names: The T tags.
        traits: The character's fixed traits.
    """
    place = {name: index for index, name in enumerate(names)}
    told = {trait: float((tags[:, place[trait]] >= SEEN).mean()) for trait in traits if trait in place}
    return {trait: share for trait, share in told.items() if share >= USUAL}


def losses(tags: npt.NDArray[np.float32], names: Sequence[str], usual: Mapping[str, float]) -> Scores | None:
    """What each picture adds to the loss of the trait that is lost most; the mean (0 to 1) is that loss.

    Args:
        tags: (N, T) probabilities.
        names: The T tags.
        usual: Trait -> share of real pictures.

    Returns:
        (N,); None where no trait is expected.
    """
    place = {name: index for index, name in enumerate(names)}
    missing = [share - (tags[:, place[trait]] >= SEEN) for trait, share in usual.items()]
    if not missing:
        return None
    worst = max(missing, key=lambda values: float(values.mean()))
    return np.asarray(worst if worst.mean() > 0 else np.zeros(len(tags)), np.float64)
