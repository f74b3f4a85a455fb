"""The character consistency rate: how many pictures show the character, and nobody else."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.gallery import Gallery
from charaforge.evaluation.identity import Embeddings, Scores, likeness
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "ccr",
    "Character consistency (CCR)",
    "share",
    "higher",
    "an identity model, 100 impostors, 8 held-out references",
    "Exactly one subject is found, its likeness reaches the threshold set at 1 % false accepts, and no other "
    "character of the gallery is nearer. Whatever fails counts as 0; nothing is left out.",
)


@dataclass(frozen=True)
class Consistency:
    """The three conditions for each of N pictures.

    Attributes:
        likeness: (N,) median cosine to the references.
        within: (N,) whether it reaches the threshold.
        nearest: (N,) whether no character of the gallery is nearer.
        rival: (N) the nearest other character; "" without a gallery.
        single: (N,) whether exactly one subject is found.
    """

    likeness: Scores
    within: npt.NDArray[np.bool_]
    nearest: npt.NDArray[np.bool_]
    rival: tuple[str, ...]
    single: npt.NDArray[np.bool_]

    @property
    def accepted(self) -> npt.NDArray[np.bool_]:
        """(N,) whether all three hold."""
        return self.within & self.nearest & self.single


def consistency(
    pictures: Embeddings,
    references: Embeddings,
    threshold: float,
    gallery: Gallery,
    single: npt.NDArray[np.bool_],
    own: Scores | None = None,
) -> Consistency:
    """Judge pictures.

    Args:
        pictures: (N, D).
        references: (R, D) of the character.
        threshold: Likeness from which on a picture is within.
        gallery: Other characters.
        single: (N,) whether exactly one subject is found.
        own: (N,) likenesses, where they are not the medians to all references.
    """
    scores = likeness(pictures, references) if own is None else own
    strongest, rivals = gallery.strongest(pictures)
    return Consistency(scores, scores >= threshold, scores >= strongest, tuple(rivals), single)
