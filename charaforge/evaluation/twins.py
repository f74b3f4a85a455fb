"""Twins: other characters that the judge cannot tell from the one that is judged.

The same character under another name, or one that shares every trait down to the last, is no impostor: held
against it, not even real pictures would be accepted. It is left out, and the report names it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.gallery import by_name
from charaforge.evaluation.identity import Embeddings, Scores, likeness
from charaforge.evaluation.impostors import Impostors, hard_negatives

MOST_TWINS = 2
"""Of more the judge itself is at fault, and none is left out."""

_SHARE = 0.1


def twins_among(
    impostors: Sequence[Impostors], traits: Sequence[str], held_out: Embeddings, own: Scores
) -> tuple[str, ...]:
    """Names of real characters that the judge takes the character's own pictures for.

    A twin is a hard negative with at least ``FEWEST`` pictures, and a tenth or more of the character's
    held-out pictures are nearer to them than to the references.

    Args:
        impostors: Everybody who is known.
        traits: Tags of the character's fixed traits.
        held_out: (n, D) pictures of the character that is judged.
        own: (n,) their likenesses to its references, each without itself.

    Returns:
        Sorted names; empty where there are more than ``MOST_TWINS``.
    """
    known = by_name((group, hard_negatives(group, traits)) for group in impostors if group.kind == "real")
    found = [name for name, seen in known.items() if (likeness(held_out, seen) > own).mean() >= _SHARE]
    return tuple(found) if len(found) <= MOST_TWINS else ()


def without(impostors: Sequence[Impostors], names: Sequence[str]) -> tuple[Impostors, ...]:
    """Leave the real pictures of some characters out."""
    return tuple(_kept(group, names) if group.kind == "real" else group for group in impostors)


def _kept(group: Impostors, names: Sequence[str]) -> Impostors:
    kept: npt.NDArray[np.bool_] = ~np.isin(group.characters, names)
    rows = np.flatnonzero(kept)
    return Impostors(
        group.kind,
        group.embeddings[rows],
        tuple(group.characters[row] for row in rows),
        tuple(group.traits[row] for row in rows),
    )
