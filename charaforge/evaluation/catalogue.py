"""All metrics, in the order in which reports list them."""

from charaforge.evaluation.metrics import (
    consistency,
    copying,
    corruption,
    diversity,
    drift,
    head_similarity,
    identity_similarity,
    image_similarity,
    limb_angle,
    pose_oks,
    pose_pck,
    same_rate,
    signature,
    subjects,
    tag_leak,
    tag_precision,
    tag_recall,
    trait_loss,
)
from charaforge.evaluation.metrics.metric import Metric
from charaforge.evaluation.results import MetricRecord

METRICS: tuple[Metric, ...] = (
    consistency.METRIC,
    signature.METRIC,
    subjects.METRIC,
    identity_similarity.METRIC,
    same_rate.METRIC,
    head_similarity.METRIC,
    *image_similarity.METRICS.values(),
    tag_recall.METRIC,
    tag_precision.METRIC,
    tag_leak.METRIC,
    trait_loss.METRIC,
    pose_pck.TORSO,
    pose_pck.LIMBS,
    pose_oks.METRIC,
    limb_angle.METRIC,
    diversity.METRIC,
    copying.METRIC,
    copying.GAP,
    corruption.METRIC,
    drift.METRIC,
    drift.TAKEOVER,
)

UNITS = {metric.name: metric.unit for metric in METRICS}
"""Name of a metric -> its unit."""


def records() -> tuple[MetricRecord, ...]:
    """What the report says about the metrics."""
    return tuple(
        MetricRecord(
            name=metric.name,
            label=metric.label,
            unit=metric.unit,
            better=metric.better,
            needs=metric.needs,
            meaning=metric.meaning,
        )
        for metric in METRICS
    )
