"""What pictures of one character are held against: references, threshold, and what real pictures reach."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.identity import Embeddings, leave_one_out, likeness
from charaforge.evaluation.judges import Judges, read_pictures, signatures, usual_signature
from charaforge.evaluation.results import HISTOGRAM_EDGES, Ceiling
from charaforge.evaluation.statistics import CONFIDENCE, Interval, wilson
from charaforge.evaluation.subject import Subject
from charaforge.evaluation.threshold import Threshold, strictest, threshold_at

LOWEST_CEILING = 0.9
"""Share of real pictures that must be accepted; below it the measure says nothing about the character."""


@dataclass(frozen=True, slots=True)
class Standard:
    """What pictures of one character are held against.

    Attributes:
        references: Embeddings of the held-out references (R, D).
        thresholds: One per kind of impostors.
        threshold: The strictest, which decides.
        histogram: Real impostors per bin of ``HISTOGRAM_EDGES``.
        ceiling: What real pictures of the character reach.
        signature: The signature trait seen in most real pictures; may be "".
    """

    references: Embeddings
    thresholds: tuple[Threshold, ...]
    threshold: Threshold
    histogram: tuple[int, ...]
    ceiling: Ceiling
    signature: str


def set_standard(judges: Judges, subject: Subject) -> Standard:
    """Set the threshold for one character and see what its real pictures reach.

    Raises:
        NotMeasurableError: fewer than ``LOWEST_CEILING`` of the real pictures are accepted.
    """
    held_out = read_pictures([*subject.references, *subject.calibration])
    embeddings = judges.encoder.embed(held_out)
    references = embeddings[: len(subject.references)]
    real = np.concatenate([leave_one_out(references), likeness(embeddings[len(references) :], references)])
    scores = {kind: likeness(pack, references) for kind, pack in judges.impostors.items()}
    thresholds = tuple(threshold_at(values, kind) for kind, values in scores.items())
    threshold = strictest(thresholds)
    seen = signatures(judges, held_out)
    signature = usual_signature(seen)
    ceiling = Ceiling(
        accepted=independent_share(real >= threshold.value),
        likenesses=tuple(real.tolist()),
        signature=independent_share(np.array([s == signature for s in seen])) if signature else None,
    )
    if ceiling.accepted.estimate < LOWEST_CEILING:
        raise NotMeasurableError(
            f"{judges.identity_name} takes only {ceiling.accepted.estimate:.0%} of {len(real)} real pictures "
            f"of {subject.name!r} for it at {threshold.rate:.1%} false accepts",
            f"below {LOWEST_CEILING:.0%} a likeness means nothing; give clear pictures of it alone",
        )
    histogram = np.histogram(scores["real"], HISTOGRAM_EDGES)[0]
    return Standard(references, thresholds, threshold, tuple(histogram.tolist()), ceiling, signature)


def independent_share(accepted: npt.NDArray[np.bool_]) -> Interval:
    """Share among independent pictures (N,) with Wilson's interval."""
    estimate = float(accepted.mean())
    return Interval(estimate, *wilson(estimate, len(accepted), float(stats.norm.ppf(0.5 + CONFIDENCE / 2))))
