"""Likeness of the head alone: clothes and body cannot help."""

import numpy as np

from charaforge.evaluation.identity import Embeddings, Scores, likeness
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "head_similarity",
    "Head similarity (CCIP)",
    "cosine",
    "higher",
    "an identity model, a pose estimator, three references with a head",
    "Median cosine of the head crops' identity embeddings. Pictures without a head that is found count as 0.",
)
FEWEST_HEADS = 3


def head_similarities(pictures: Embeddings, references: Embeddings) -> Scores | None:
    """(N,) median cosine of heads (N, D) to the references' heads (R, D); rows of NaN are heads not found.

    Returns:
        None where fewer than ``FEWEST_HEADS`` references have a head.
    """
    known = references[~np.isnan(references).any(axis=1)]
    if len(known) < FEWEST_HEADS:
        return None
    found = ~np.isnan(pictures).any(axis=1)
    scores = np.zeros(len(pictures))
    scores[found] = likeness(pictures[found], known)
    return scores
