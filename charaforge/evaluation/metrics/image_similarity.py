"""Similarity of whole pictures to the references, by encoders that know nothing of characters."""

from charaforge.evaluation.identity import Embeddings, Scores, likeness
from charaforge.evaluation.metrics.metric import Metric

_MEANING = (
    "Median cosine to the references. It sees style, pose and background as well, so that unrelated pictures "
    "of the same kind come close."
)
METRICS = {
    kind: Metric(
        f"{kind}_similarity",
        f"Image similarity ({name})",
        "cosine",
        "higher",
        f"an image encoder of the kind {name} in models/vision",
        _MEANING,
    )
    for kind, name in (("clip", "CLIP"), ("dinov2", "DINOv2"), ("siglip", "SigLIP2"))
}


def image_similarities(pictures: Embeddings, references: Embeddings) -> Scores:
    """(N,) median cosine of each picture (N, D) to the references (R, D)."""
    return likeness(pictures, references)
