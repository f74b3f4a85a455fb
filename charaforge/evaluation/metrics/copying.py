"""Copying: whether pictures are those of the training set again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.identity import Embeddings, Scores
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "copies",
    "Copies of training pictures",
    "share",
    "lower",
    "the training pictures; an image encoder sees more than hashes alone",
    "A 256-bit perceptual hash, upright or mirrored, lies within 40 bits of a training picture's, or for an "
    "image encoder it is at least half way from the nearest held-out real picture to equality.",
)
GAP = Metric(
    "copying_gap",
    "Nearer to training than to references",
    "cosine",
    "lower",
    "the training pictures, an image encoder (else the identity model)",
    "Largest similarity to training pictures minus largest to references, over equally many of each.",
)
HASH_RADIUS = 40
"""Bits of 256; drawings of one character in one pose and outfit differ by 58 and more (24 pairs by 24)."""


@dataclass(frozen=True)
class Originals:
    """What pictures may be copies of, and how near honest pictures come.

    Attributes:
        hashes: (M, 4) uint64 of the training pictures, upright.
        training: (M, D) embeddings of the training pictures.
        references: (R, D) embeddings of the references.
        limit: Similarity to a training picture from which on a picture is a copy.
    """

    hashes: npt.NDArray[np.uint64]
    training: Embeddings
    references: Embeddings
    limit: float


def originals(
    hashes: npt.NDArray[np.uint64], training: Embeddings, references: Embeddings, held_out: Embeddings
) -> Originals:
    """Set the limit half way between the nearest that held-out pictures come to training, and equality."""
    nearest = float((held_out @ training.T).max()) if len(held_out) and len(training) else 1.0
    return Originals(hashes, training, references, (1 + min(nearest, 1.0)) / 2)


def hash_distances(
    pictures: npt.NDArray[np.uint64], trained: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """(N,) bits to the nearest training picture, of hashes (N, 2, 4) upright and mirrored, and (M, 4)."""
    if not len(trained):
        return np.full(len(pictures), 256)
    differing = np.bitwise_count(pictures[:, :, None] ^ trained[None, None]).sum(axis=-1)
    return np.asarray(differing.min(axis=(1, 2)), np.int64)


def copies(hashes: npt.NDArray[np.uint64], pictures: Embeddings, known: Originals) -> npt.NDArray[np.bool_]:
    """(N,) whether each picture is a copy."""
    hit = hash_distances(hashes, known.hashes) <= HASH_RADIUS
    if not len(known.training):
        return hit
    return hit | (_nearest(pictures, known.training) >= known.limit)


def gaps(pictures: Embeddings, known: Originals) -> Scores:
    """(N,) largest similarity to training minus largest to the references, over equally many of each."""
    count = min(len(known.training), len(known.references))
    trained = known.training[np.linspace(0, len(known.training) - 1, count).round().astype(int)]
    held_out = known.references[np.linspace(0, len(known.references) - 1, count).round().astype(int)]
    return _nearest(pictures, trained) - _nearest(pictures, held_out)


def _nearest(pictures: Embeddings, others: Embeddings) -> Scores:
    return np.asarray((pictures.astype(np.float64) @ others.astype(np.float64).T).max(axis=1), np.float64)
