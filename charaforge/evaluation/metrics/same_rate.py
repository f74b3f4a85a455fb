"""Pairwise "same character" rate at the identity model's own threshold, to compare with other programs."""

import numpy as np

from charaforge.evaluation.identity import Embeddings, Scores
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "same_rate",
    "Pairs that CCIP calls the same",
    "share",
    "higher",
    "an identity model whose makers name a threshold",
    "Share of the references whose CCIP difference to a picture is below the makers' threshold: what others "
    "count, but against pictures that were held out.",
)


def same_rates(pictures: Embeddings, references: Embeddings, largest: float) -> Scores:
    """(N,) share of the references within a CCIP difference of ``largest``; difference = (1 - cosine) / 2."""
    differences = (1 - pictures.astype(np.float64) @ references.astype(np.float64).T) / 2
    return np.asarray((differences <= largest).mean(axis=1), np.float64)
