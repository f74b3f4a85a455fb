"""Diversity within a prompt: whether seeds still make a difference."""

import numpy as np

from charaforge.evaluation.identity import Embeddings, Scores
from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "diversity",
    "Diversity within a prompt",
    "1 - cosine",
    "higher",
    "an image encoder (else hashes, then in shares of bits); two seeds",
    "Mean distance between the pictures of one prompt. Far below the base's: the LoRA draws one picture.",
)


def diversities(pictures: Embeddings, seeds: int) -> Scores | None:
    """(P,) mean pairwise 1 - cosine within each prompt; None with a single seed."""
    if seeds < 2:
        return None
    groups = pictures.astype(np.float64).reshape(-1, seeds, pictures.shape[1])
    cosines = np.einsum("psd,ptd->pst", groups, groups)
    pairs = seeds * (seeds - 1)
    return np.asarray(((1 - cosines) * ~np.eye(seeds, dtype=bool)).sum(axis=(1, 2)) / pairs, np.float64)


def hash_diversities(hashes: np.ndarray, seeds: int) -> Scores | None:
    """(P,) mean pairwise share of differing bits of hashes (N, 4) uint64; None with a single seed."""
    if seeds < 2:
        return None
    groups = hashes.reshape(-1, seeds, 4)
    bits = np.bitwise_count(groups[:, :, None] ^ groups[:, None]).sum(axis=-1) / 256
    return np.asarray(bits.sum(axis=(1, 2)) / (seeds * (seeds - 1)), np.float64)
