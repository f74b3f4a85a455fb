"""Likeness: how much a picture looks like one character, told by its held-out reference pictures.

Shape legend: N pictures, R references, D dimensions of the identity embedding. Embeddings are
float32, L2-normalised, as ``charaforge.perception.ccip.IdentityEncoder.embed`` gives them.
"""

import numpy as np
import numpy.typing as npt

Embeddings = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]


def likeness(pictures: Embeddings, references: Embeddings) -> Scores:
    """Median cosine of each picture to the references.

    Args:
        pictures: (N, D).
        references: (R, D), R >= 1; pictures of the character that no training has seen.

    Returns:
        (N,) in [-1, 1]; higher means more alike.
    """
    cosines = pictures.astype(np.float64) @ references.astype(np.float64).T
    return np.asarray(np.median(cosines, axis=1), dtype=np.float64)


def leave_one_out(references: Embeddings) -> Scores:
    """Likeness of each reference to all the others: what real pictures of the character reach.

    Args:
        references: (R, D), R >= 2.

    Returns:
        (R,) in [-1, 1].
    """
    kept = ~np.eye(len(references), dtype=bool)
    return np.concatenate(
        [likeness(references[i : i + 1], references[kept[i]]) for i in range(len(references))]
    )
