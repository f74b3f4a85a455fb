"""The gallery: of all characters that are known, which one does a picture resemble most?

A character stands in the gallery with at least ``FEWEST`` real pictures; its score is the median cosine to
them, as the score of the character that is judged is the median cosine to its references.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.identity import Embeddings, Scores, likeness
from charaforge.evaluation.impostors import Impostors, hard_negatives
from charaforge.evaluation.threshold import HARD_SHARE

FEWEST = 3
"""Pictures that a character needs to stand in the gallery."""

SIZE = 30
"""Characters in the gallery."""


@dataclass(frozen=True)
class Gallery:
    """Other characters.

    Attributes:
        characters: Name -> embeddings of its pictures.
        hard: How many of them are hard negatives.
    """

    characters: dict[str, Embeddings]
    hard: int = 0

    def __len__(self) -> int:
        return len(self.characters)

    def strongest(self, pictures: Embeddings) -> tuple[Scores, list[str]]:
        """Score (N,) and name of the other character that each picture (N, D) is most like.

        An empty gallery gives -inf and "".
        """
        best = np.full(len(pictures), -np.inf)
        names = np.full(len(pictures), "", dtype=object)
        for name, own in self.characters.items():
            scores = likeness(pictures, own)
            higher: npt.NDArray[np.bool_] = scores > best
            best[higher], names[higher] = scores[higher], name
        return best, [str(name) for name in names]


def gallery_of(impostors: Iterable[Impostors], traits: Sequence[str], without: str) -> Gallery:
    """Choose the gallery among real impostors: ``SIZE`` characters, a third of them hard negatives.

    The larger a gallery, the more often somebody in it resembles the character by chance; so its size is
    fixed, and the same characters are chosen in every run.

    Args:
        impostors: Everybody who is known.
        traits: Of the character that is judged; who shares hair and eye colour with it is a hard negative.
        without: Name of the character that is judged.
    """
    real = [(group, hard_negatives(group, traits)) for group in impostors if group.kind == "real"]
    alike = {group.characters[row] for group, hard in real for row in np.flatnonzero(hard)}
    known = by_name((group, np.ones(len(group), bool)) for group, _ in real)
    known.pop(without, None)
    near = _spread([name for name in known if name in alike], round(SIZE * HARD_SHARE))
    far = _spread([name for name in known if name not in alike], SIZE - len(near))
    return Gallery({name: known[name] for name in (*near, *far)}, len(near))


def by_name(marked: Iterable[tuple[Impostors, npt.NDArray[np.bool_]]]) -> dict[str, Embeddings]:
    """Name -> embeddings (k, D) of all characters with at least ``FEWEST`` marked pictures, sorted.

    Args:
        marked: Impostors, and which of them count (n,).
    """
    rows: dict[str, list[Embeddings]] = defaultdict(list)
    for group, marks in marked:
        for row in np.flatnonzero(marks):
            rows[group.characters[row]].append(group.embeddings[row])
    return {name: np.stack(found) for name, found in sorted(rows.items()) if name and len(found) >= FEWEST}


def _spread(names: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the names, spread evenly over all."""
    if len(names) <= count:
        return list(names)
    return [names[index] for index in np.linspace(0, len(names) - 1, count).round().astype(int)]
