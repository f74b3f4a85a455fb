"""What a reader has to know about the numbers of a study: what was missing, and what that means."""

from collections import Counter

from charaforge.evaluation.arms import Arm, words_of
from charaforge.evaluation.scoring import Sitting
from charaforge.evaluation.study import Study
from charaforge.evaluation.threshold import FEWEST_HARD, HARD_SHARE

_PROMPTS, _SEEDS, _CERTIFICATE_PROMPTS = 40, 4, 100
_IMPOSTORS, _REFERENCES = 3000, 20


def warnings_of(study: Study, sitting: Sitting) -> tuple[str, ...]:
    """One sentence for each thing that falls short of the protocol."""
    return tuple(filter(None, [*_numbers(study, sitting), _twice(study, sitting), *_judges(study)]))


def _numbers(study: Study, sitting: Sitting) -> list[str]:
    standard = study.yardstick.standard
    wanted = _CERTIFICATE_PROMPTS if study.plan.certificate else _PROMPTS
    real = sum(len(group) for group in study.judges.impostors if group.kind == "real")
    hard = int(standard.hard.sum())
    return [
        ""
        if len(sitting.prompts) >= wanted and sitting.seeds >= _SEEDS
        else f"{len(sitting.prompts)} prompts × {sitting.seeds} seeds: {wanted} × {_SEEDS} are called for.",
        ""
        if standard.count >= _REFERENCES
        else f"{standard.count} references: {_REFERENCES} would be good, "
        f"{_REFERENCES - standard.count} are missing.",
        ""
        if real >= _IMPOSTORS
        else f"{real} real impostors: with {_IMPOSTORS} the rate of false accepts would be known better.",
        ""
        if hard >= FEWEST_HARD
        else f"{hard} hard negatives: a third of the impostors should share hair and eye colour with the "
        f"character; {FEWEST_HARD - hard} are missing for them to carry {HARD_SHARE:.0%} of the weight.",
        ""
        if len(standard.gallery)
        else "The gallery is empty: no other character has three pictures with its name, so that only the "
        "threshold decides.",
    ]


def _twice(study: Study, sitting: Sitting) -> str:
    """Prompts that become the same text once their placeholders are filled."""
    arm = Arm("lora", "LoRA", study.subject.name)
    words = Counter(words_of(prompt, arm, study.subject) for prompt in sitting.prompts)
    again = sum(count - 1 for count in words.values())
    return (
        f"{again} prompts say the same as others once [outfit] is filled, and count twice." if again else ""
    )


def _judges(study: Study) -> list[str]:
    judges = study.judges
    return [
        ""
        if judges.detector or judges.pose
        else "There is neither a person detector nor a pose estimator: pictures with nobody or with several "
        "people are told by likeness alone.",
        ""
        if judges.visions
        else "There is no image encoder (models/vision): copying, drift and diversity are told by hashes and "
        "by the identity model.",
    ]
