"""The signature trait, as a judge sees it that was trained on other seeds and knows nothing of likeness."""

from charaforge.evaluation.metrics.metric import Metric

METRIC = Metric(
    "signature",
    "Signature trait seen",
    "share",
    "higher",
    "a signature judge (the mini family has one)",
    "Share of the pictures in which it sees the trait that it sees in most references.",
)
