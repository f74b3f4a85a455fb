"""Drift: what the LoRA does to prompts that do not name the character."""

import numpy as np

from charaforge.evaluation.identity import Embeddings, Scores
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "drift",
    "Drift without the trigger",
    "1 - cosine",
    "lower",
    "prompts without the character; an image encoder (else the identity model)",
    "Distance between the pictures of base and LoRA of the same prompt and seed where nobody asked for the "
    "character.",
)
TAKEOVER = Metric(
    "takeover",
    "Strangers taken over",
    "share",
    "lower",
    "prompts without the character, and all that CCR needs",
    "Share of the pictures in which nobody asked for the character and it is accepted all the same.",
)


def drifts(pictures: Embeddings, base: Embeddings) -> Scores:
    """(N,) 1 - cosine between each picture and the base's of the same prompt and seed."""
    cosines = (pictures.astype(np.float64) * base.astype(np.float64)).sum(axis=1)
    return np.asarray(1 - cosines, np.float64)
