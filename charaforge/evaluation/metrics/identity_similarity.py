"""Likeness as a plain number: the median CCIP cosine to the held-out references."""

from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "identity_similarity",
    "Identity similarity (CCIP)",
    "cosine",
    "higher",
    "an identity model, 8 held-out references",
    "Median cosine to the references. It has no natural bar; the histogram shows what strangers reach.",
)
