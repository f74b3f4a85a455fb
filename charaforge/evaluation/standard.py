"""What pictures of one character are held against, and what real pictures of it reach."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.features import Features, look
from charaforge.evaluation.gallery import Gallery, gallery_of
from charaforge.evaluation.identity import Embeddings, leave_one_out, likeness
from charaforge.evaluation.impostors import Impostors, hard_negatives
from charaforge.evaluation.judges import Judges, usual_signature
from charaforge.evaluation.metrics.consistency import Consistency, consistency
from charaforge.evaluation.metrics.subjects import clarity_bar, one_subject
from charaforge.evaluation.results import HISTOGRAM_EDGES, Ceiling
from charaforge.evaluation.statistics import CONFIDENCE, Interval, wilson
from charaforge.evaluation.subject import Subject
from charaforge.evaluation.threshold import (
    FALSE_ACCEPT_RATE,
    Threshold,
    strictest,
    threshold_at,
    threshold_with_hard,
)
from charaforge.evaluation.twins import twins_among, without

LOWEST_CEILING = 0.9
"""Share of real pictures that must be accepted; below it the measure says nothing about the character."""

_RESAMPLES = 100


@dataclass(frozen=True, slots=True)
class Standard:
    """What pictures of one character are held against.

    Attributes:
        held_out: What was seen in the references, then in the calibration pictures.
        count: Number of references R among them.
        impostors: Whom the threshold was set on.
        hard: Which of the real ones are hard negatives.
        thresholds: One per kind of impostors.
        threshold: The strictest, which decides.
        gallery: Other characters that a picture could resemble more.
        clarity: How clear a figure's key points have to be to count as one subject.
        histogram: Real impostors per bin of ``HISTOGRAM_EDGES``.
        ceiling: What real pictures of the character reach.
        signature: The signature trait seen in most real pictures; may be "".
        twins: Other characters that cannot be told from this one, and were left out.
    """

    held_out: Features
    count: int
    impostors: tuple[Impostors, ...]
    hard: npt.NDArray[np.bool_]
    thresholds: tuple[Threshold, ...]
    threshold: Threshold
    gallery: Gallery
    clarity: float
    histogram: tuple[int, ...]
    ceiling: Ceiling
    signature: str
    twins: tuple[str, ...] = ()

    @property
    def references(self) -> Embeddings:
        """Embeddings of the references (R, D)."""
        return self.held_out.identity[: self.count]

    def judge(self, pictures: Features) -> Consistency:
        """The three conditions of the character consistency rate, for N pictures."""
        single = one_subject(pictures, self.clarity)
        return consistency(pictures.identity, self.references, self.threshold.value, self.gallery, single)

    def redrawn(self, arms: Mapping[str, Features]) -> dict[str, npt.NDArray[np.float64]]:
        """Each arm's share of accepts (100,) when the references are others, the same ones for all arms.

        References are drawn again with replacement, thresholds set anew and the pictures judged anew. The
        variance of these shares, or of the difference of two arms', is what the choice of references adds.
        """
        draws = np.random.default_rng(0).integers(0, self.count, (_RESAMPLES, self.count))
        cosines = [(group.embeddings @ self.references.T).astype(np.float32) for group in self.impostors]
        values = np.array([self._threshold(cosines, draw) for draw in draws])
        return {name: self._shares(seen, draws, values) for name, seen in arms.items()}

    def _threshold(self, cosines: Sequence[npt.NDArray[np.float32]], draw: npt.NDArray[np.int64]) -> float:
        kinds = [group.kind for group in self.impostors]
        scores = {kind: _medians(one, draw) for kind, one in zip(kinds, cosines, strict=True)}
        return strictest(set_thresholds(scores, self.hard)).value

    def _shares(
        self, seen: Features, draws: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        strongest, _ = self.gallery.strongest(seen.identity)
        single = one_subject(seen, self.clarity)
        cosines = (seen.identity @ self.references.T).astype(np.float32)
        shares = []
        for draw, value in zip(draws, values, strict=True):
            scores = _medians(cosines, draw)
            shares.append(float(((scores >= value) & (scores >= strongest) & single).mean()))
        return np.array(shares)


def set_standard(judges: Judges, subject: Subject) -> Standard:
    """Set the threshold for one character and see what its real pictures reach.

    Raises:
        NotMeasurableError: fewer than ``LOWEST_CEILING`` of the real pictures are accepted.
    """
    count = len(subject.references)
    held_out = look(judges, subject.held_out)
    references = held_out.identity[:count]
    own = np.concatenate([leave_one_out(references), likeness(held_out.identity[count:], references)])
    twins = twins_among(judges.impostors, subject.traits, held_out.identity, own)
    impostors = without(judges.impostors, twins)
    scores = {group.kind: likeness(group.embeddings, references) for group in impostors}
    hard = next(hard_negatives(group, subject.traits) for group in impostors if group.kind == "real")
    thresholds = set_thresholds(scores, hard)
    threshold = strictest(thresholds)
    gallery = gallery_of(impostors, subject.traits, subject.name)
    clarity = clarity_bar(held_out)
    single = one_subject(held_out, clarity)
    seen = consistency(held_out.identity, references, threshold.value, gallery, single, own)
    signature = usual_signature(held_out.signatures)
    shown = np.array([s == signature for s in held_out.signatures])
    ceiling = Ceiling(
        accepted=independent_share(seen.accepted),
        likenesses=tuple(own.tolist()),
        signature=independent_share(shown) if signature else None,
        area_under_curve=_area_under_curve(own, scores["real"]),
    )
    _check_ceiling(judges.identity_name, subject.name, seen, threshold)
    histogram = np.histogram(scores["real"], HISTOGRAM_EDGES)[0]
    return Standard(
        held_out,
        count,
        impostors,
        hard,
        thresholds,
        threshold,
        gallery,
        clarity,
        tuple(histogram.tolist()),
        ceiling,
        signature,
        twins,
    )


def set_thresholds(
    scores: Mapping[str, npt.NDArray[np.float64]], hard: npt.NDArray[np.bool_]
) -> tuple[Threshold, ...]:
    """One threshold per kind of impostors, and one for the real ones with a third of hard negatives."""
    found = [threshold_at(values, kind) for kind, values in scores.items()]
    weighted = threshold_with_hard(scores["real"], hard)
    return (*found, *([weighted] if weighted else []))


def independent_share(accepted: npt.NDArray[np.bool_]) -> Interval:
    """Share among independent pictures (N,) with Wilson's interval."""
    estimate = float(accepted.mean())
    return Interval(estimate, *wilson(estimate, len(accepted), float(stats.norm.ppf(0.5 + CONFIDENCE / 2))))


def _check_ceiling(identity: str, name: str, seen: Consistency, threshold: Threshold) -> None:
    share, count = float(seen.accepted.mean()), len(seen.accepted)
    if share >= LOWEST_CEILING:
        return
    reasons = [
        f"{int((~seen.single).sum())} show no single subject",
        f"{int((~seen.within).sum())} are not alike enough",
        f"{int((~seen.nearest).sum())} are nearer to another character",
    ]
    missing = int(np.ceil(LOWEST_CEILING * count)) - int(seen.accepted.sum())
    raise NotMeasurableError(
        f"{identity} takes only {share:.0%} of {count} real pictures of {name!r} for it at "
        f"{FALSE_ACCEPT_RATE:.0%} false accepts ({', '.join(reasons)})",
        f"{LOWEST_CEILING:.0%} are needed, {missing} more are missing: below, a likeness means nothing; give "
        "clear pictures of it alone",
    )


def _area_under_curve(own: npt.NDArray[np.float64], strangers: npt.NDArray[np.float64]) -> float:
    """Chance that a real picture of the character is more alike than an impostor's (AUC)."""
    below = np.searchsorted(np.sort(strangers), own, side="left")
    return float(below.mean() / len(strangers))


def _medians(cosines: npt.NDArray[np.float32], draw: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.median(cosines[:, draw], axis=1), np.float64)
