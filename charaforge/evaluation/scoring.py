"""From what was seen in the pictures of an arm to its metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.arms import Arm, words_of
from charaforge.evaluation.catalogue import UNITS
from charaforge.evaluation.features import Features
from charaforge.evaluation.identity import Embeddings, Scores
from charaforge.evaluation.metrics import (
    consistency,
    copying,
    corruption,
    diversity,
    head_similarity,
    identity_similarity,
    image_similarity,
    same_rate,
    subjects,
    tag_leak,
    tag_precision,
    tag_recall,
    trait_loss,
)
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.results import ArmResult, Measure, PictureScore
from charaforge.evaluation.standard import Standard
from charaforge.evaluation.statistics import Floats, Interval, mean, share, spread
from charaforge.evaluation.subject import Subject

PREFERRED = ("clip", "dinov2", "siglip")
"""Which image encoder is taken where one is enough."""

_RANGES = {"share": (0.0, 1.0), "cosine": (-1.0, 1.0), "1 - cosine": (0.0, 2.0), "degrees": (0.0, 180.0)}
"""What values of a unit can be at all; an interval ends there."""


@dataclass(frozen=True)
class Yardstick:
    """All that pictures of one study are measured against.

    Attributes:
        standard: The character.
        subject: Whom the table says it is.
        known: What they may be copies of.
        limits: What whole pictures look like.
        same_threshold: Largest CCIP difference that the model's makers call the same; None: not told.
        judge_names: What each judge is for -> its name.
        usual_traits: Fixed trait -> share of real pictures in which it is seen.
    """

    standard: Standard
    subject: Subject
    known: copying.Originals
    limits: corruption.Bounds
    same_threshold: float | None
    judge_names: Mapping[str, str] = field(default_factory=dict)
    usual_traits: Mapping[str, float] = field(default_factory=dict)

    @property
    def encoder(self) -> str:
        """Kind of image encoder for copying, drift and diversity; "" = the identity model."""
        return preferred(self.standard.held_out)


@dataclass(frozen=True)
class Sitting:
    """The prompts and seeds that some arms are rendered with.

    Attributes:
        prompts: P prompts.
        first_seed: Seed of each prompt's first picture.
        seeds: S pictures per prompt; their seeds grow by 1.
    """

    prompts: tuple[EvalPrompt, ...]
    first_seed: int
    seeds: int

    @property
    def pictures(self) -> int:
        """P · S."""
        return len(self.prompts) * self.seeds

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(range(self.first_seed, self.first_seed + self.seeds))


def preferred(seen: Features) -> str:
    """The image encoder that is taken where one is enough; "" = the identity model."""
    return next((kind for kind in PREFERRED if kind in seen.visions), "")


def embeddings(seen: Features, kind: str) -> Embeddings:
    """Embeddings by an image encoder, or by the identity model for ""."""
    return seen.visions[kind] if kind else seen.identity


def judge_arm(
    arm: Arm,
    seen: Features,
    base: Features,
    sitting: Sitting,
    yardstick: Yardstick,
    out: Path,
    reference_variance: float = 0.0,
) -> ArmResult:
    """Score the pictures of one arm.

    Args:
        arm: How the character was asked for.
        seen: Its pictures, prompts in order, seeds within each prompt.
        base: The base model's with the traits in words, same prompts and seeds.
        sitting: These prompts and seeds.
        yardstick: What they are measured against.
        out: Folder that file names are relative to.
        reference_variance: What the choice of references adds to the variance of the share.
    """
    standard = yardstick.standard
    shape = (len(sitting.prompts), sitting.seeds)
    judged = standard.judge(seen)
    copied = copying.copies(seen.hashes, embeddings(seen, yardstick.encoder), yardstick.known)
    shown = np.array([s == standard.signature for s in seen.signatures])
    return ArmResult(
        name=arm.name,
        label=arm.label,
        character_words=arm.words,
        accepted=share(judged.accepted.reshape(shape), reference_variance=reference_variance),
        within_alone=float(judged.within.mean()),
        signature=share(shown.reshape(shape)) if standard.signature else None,
        measures=_measures(arm, seen, base, sitting, yardstick, judged, copied),
        pictures=tuple(
            PictureScore(
                prompt_id=sitting.prompts[i // sitting.seeds].id,
                seed=sitting.first_seed + i % sitting.seeds,
                file=path.relative_to(out).as_posix(),
                likeness=float(judged.likeness[i]),
                accepted=bool(judged.accepted[i]),
                within=bool(judged.within[i]),
                single=bool(judged.single[i]),
                nearest=bool(judged.nearest[i]),
                rival=judged.rival[i],
                copy_of_training=bool(copied[i]),
                signature=seen.signatures[i],
            )
            for i, path in enumerate(seen.files)
        ),
    )


def judge_arms(
    arms: Sequence[Arm], seen: Mapping[str, Features], sitting: Sitting, yardstick: Yardstick, out: Path
) -> tuple[dict[str, ArmResult], dict[str, Floats]]:
    """Score arms whose numbers are published, and tell how they stray with the references.

    Args:
        arms: How the character was asked for.
        seen: The pictures of each arm, and of the base with the traits in words ("traits").
        sitting: As in ``judge_arm``.
        yardstick: As in ``judge_arm``.
        out: As in ``judge_arm``.

    Returns:
        The result of each arm, and its shares of accepts under references drawn again, both by its name.
    """
    redrawn = yardstick.standard.redrawn({arm.name: seen[arm.name] for arm in arms})
    results = {
        arm.name: judge_arm(
            arm, seen[arm.name], seen["traits"], sitting, yardstick, out, spread(redrawn[arm.name])
        )
        for arm in arms
    }
    return results, redrawn


def expected_tags(sitting: Sitting, arm: Arm, subject: Subject) -> list[tuple[str, ...]]:
    """Per picture the tags it should show: those of its prompt, and the outfit where the prompt has it."""
    found = []
    for prompt in sitting.prompts:
        outfit = (subject.outfit,) if "[outfit]" in prompt.prompt and subject.outfit else ()
        found += [(*prompt.expected_tags, *outfit)] * sitting.seeds
    return found


def leaking(
    arm: Arm, seen: Features, base: Features, sitting: Sitting, subject: Subject
) -> tuple[Scores, dict[str, float]]:
    """Leak per picture, and by tag."""
    words = [
        tuple(word.strip() for word in words_of(prompt, arm, subject).split(","))
        for prompt in sitting.prompts
        for _ in range(sitting.seeds)
    ]
    return tag_leak.leaks(seen.tags, base.tags, seen.tag_names, words, subject.training_tags, subject.traits)


def accepts(arm: ArmResult, seeds: int) -> npt.NDArray[np.bool_]:
    """Accepts of an arm, boolean (prompts, seeds)."""
    return np.array([picture.accepted for picture in arm.pictures]).reshape(-1, seeds)


def measure(
    name: str, values: Scores | None, seeds: int, reason: str = "", floor: float | None = None
) -> Measure:
    """Mean of a value per picture (or per prompt, with ``seeds`` 1), clustered by prompt."""
    if values is None or not len(values) or np.isnan(values).all():
        return Measure(
            name=name, estimate=None, low=None, high=None, reason=reason or "no picture has a value"
        )
    unit = UNITS[name]
    told = mean(values.reshape(-1, seeds), shares=unit == "share")
    least, most = _RANGES[unit]
    low, high = max(told.low, least), min(told.high, most)
    return Measure(name=name, estimate=told.estimate, low=low, high=high, floor=floor)


def share_measure(name: str, flags: npt.NDArray[np.bool_], seeds: int) -> Measure:
    """Share of pictures (N,) with an interval clustered by prompt."""
    told: Interval = share(flags.reshape(-1, seeds))
    return Measure(name=name, estimate=told.estimate, low=told.low, high=told.high)


def _measures(
    arm: Arm,
    seen: Features,
    base: Features,
    sitting: Sitting,
    yardstick: Yardstick,
    judged: consistency.Consistency,
    copied: npt.NDArray[np.bool_],
) -> tuple[Measure, ...]:
    seeds, kind = sitting.seeds, yardstick.encoder
    own = embeddings(seen, kind)
    apart = (
        diversity.diversities(own, seeds) if kind else diversity.hash_diversities(seen.hashes[:, 0], seeds)
    )
    return (
        share_measure(subjects.METRIC.name, judged.single, seeds),
        measure(identity_similarity.METRIC.name, judged.likeness, seeds),
        _same_rate(seen, yardstick, seeds),
        *_image_similarities(seen, yardstick, seeds),
        _head_similarity(seen, yardstick, seeds),
        *_tag_measures(arm, seen, base, sitting, yardstick),
        measure(diversity.METRIC.name, apart, 1, "one picture per prompt says nothing of diversity"),
        *_copying_measures(own, copied, yardstick, seeds),
        share_measure(corruption.METRIC.name, corruption.corrupted(seen, yardstick.limits), seeds),
    )


def _same_rate(seen: Features, yardstick: Yardstick, seeds: int) -> Measure:
    largest = yardstick.same_threshold
    reason = "the identity model's makers name no threshold (metrics.json)"
    values = None
    if largest is not None:
        values = same_rate.same_rates(seen.identity, yardstick.standard.references, largest)
    return measure(same_rate.METRIC.name, values, seeds, reason)


def _image_similarities(seen: Features, yardstick: Yardstick, seeds: int) -> list[Measure]:
    found = []
    count = yardstick.standard.count
    for kind, metric in image_similarity.METRICS.items():
        values = None
        if kind in seen.visions:
            held_out = yardstick.standard.held_out.visions[kind][:count]
            values = image_similarity.image_similarities(seen.visions[kind], held_out)
        found.append(measure(metric.name, values, seeds, f"it needs {metric.needs}"))
    return found


def _head_similarity(seen: Features, yardstick: Yardstick, seeds: int) -> Measure:
    standard = yardstick.standard
    values = head_similarity.head_similarities(seen.heads, standard.held_out.heads[: standard.count])
    return measure(head_similarity.METRIC.name, values, seeds, "no heads are found in the references")


def _tag_measures(
    arm: Arm, seen: Features, base: Features, sitting: Sitting, yardstick: Yardstick
) -> list[Measure]:
    if not seen.tag_names:
        reason = "there is no tagger for this base (models/taggers)"
        return [
            measure(module.METRIC.name, None, 1, reason)
            for module in (tag_recall, tag_precision, tag_leak, trait_loss)
        ]
    expected = expected_tags(sitting, arm, yardstick.subject)
    vocabulary = sorted({tag for tags in expected for tag in tags})
    known = "the tagger knows none of the expected tags"
    recall = tag_recall.recalls(seen.tags, seen.tag_names, expected)
    precision = tag_precision.precisions(seen.tags, seen.tag_names, expected, vocabulary)
    leak, by_tag = leaking(arm, seen, base, sitting, yardstick.subject)
    told = "no tag of a fifth of the training pictures is known to the tagger"
    lost = trait_loss.losses(seen.tags, seen.tag_names, yardstick.usual_traits)
    return [
        measure(tag_recall.METRIC.name, recall, sitting.seeds, known),
        measure(tag_precision.METRIC.name, precision, sitting.seeds, known),
        measure(tag_leak.METRIC.name, leak if by_tag else None, sitting.seeds, told),
        measure(trait_loss.METRIC.name, lost, sitting.seeds, "no trait is known to the tagger"),
    ]


def _copying_measures(
    own: Embeddings, copied: npt.NDArray[np.bool_], yardstick: Yardstick, seeds: int
) -> list[Measure]:
    if not len(yardstick.known.training):
        reason = "the table lists no training pictures that exist (split train)"
        return [measure(copying.METRIC.name, None, 1, reason), measure(copying.GAP.name, None, 1, reason)]
    gaps = copying.gaps(own, yardstick.known)
    return [share_measure(copying.METRIC.name, copied, seeds), measure(copying.GAP.name, gaps, seeds)]
