"""What a reader has to know about the numbers of a study: what was missing, and what that means."""

from collections import Counter

from charaforge.evaluation.apart import UNCHECKED, why_unchecked
from charaforge.evaluation.arms import Arm, words_of
from charaforge.evaluation.judges import caption_tables, captioned_by
from charaforge.evaluation.metrics.copying import hash_distances
from charaforge.evaluation.scoring import Sitting
from charaforge.evaluation.study import Study
from charaforge.evaluation.threshold import FEWEST_HARD, HARD_SHARE
from charaforge.evaluation.verdict import counted

_PROMPTS, _SEEDS, _CERTIFICATE_PROMPTS = 40, 4, 100
_IMPOSTORS, _REFERENCES = 3000, 20
_NEARLY_SAME = 12
"""Bits of 256 up to which two pictures are nearly the same; drawings of one pose and outfit differ by 58."""


def warnings_of(study: Study, sitting: Sitting) -> tuple[str, ...]:
    """One sentence for each thing that falls short of the protocol."""
    pictures = [_twice(study, sitting), unchecked(study, study.plan.lora), _nearly_trained(study)]
    lines = [*_numbers(study, sitting), *pictures, *_judges(study), _same_tagger(study)]
    return tuple(filter(None, lines))


def _numbers(study: Study, sitting: Sitting) -> list[str]:
    standard = study.yardstick.standard
    wanted = _CERTIFICATE_PROMPTS if study.plan.certificate else _PROMPTS
    real = sum(len(group) for group in standard.impostors if group.kind == "real")
    hard = int(standard.hard.sum())
    return [
        ""
        if len(sitting.prompts) >= wanted and sitting.seeds >= _SEEDS
        else f"{counted(len(sitting.prompts), 'prompt')} × {counted(sitting.seeds, 'seed')}: {wanted} × "
        f"{_SEEDS} are called for.",
        ""
        if standard.count >= _REFERENCES
        else f"{counted(standard.count, 'reference')}: {_REFERENCES} would be good, "
        f"{_missing(_REFERENCES - standard.count)}.",
        ""
        if real >= _IMPOSTORS
        else f"{counted(real, 'real impostor')}: with {_IMPOSTORS:,} the rate of false accepts would be "
        "known better.",
        ""
        if hard >= FEWEST_HARD
        else f"{counted(hard, 'hard negative')}: a third of the impostors should share hair and eye colour "
        f"with the character; {_missing(FEWEST_HARD - hard)} for them to carry {HARD_SHARE:.0%} of the "
        "weight.",
        _left_out(standard.twins, study.subject.name),
        ""
        if len(standard.gallery)
        else "The gallery is empty: no other character has three pictures with its name, so that only the "
        "threshold decides.",
    ]


def _left_out(twins: tuple[str, ...], name: str) -> str:
    were, them = ("was", "it") if len(twins) == 1 else ("were", "them")
    return (
        f"{' and '.join(twins)} cannot be told from {name} by this judge, and {were} left out of the "
        f"impostors: pictures of {them} would be accepted as well."
        if twins
        else ""
    )


def _twice(study: Study, sitting: Sitting) -> str:
    """Prompts that become the same text once their placeholders are filled."""
    arm = Arm("lora", "LoRA", study.subject.name)
    words = Counter(words_of(prompt, arm, study.subject) for prompt in sitting.prompts)
    again = sum(count - 1 for count in words.values())
    return (
        f"{counted(again, 'prompt')} more say{'s' if again == 1 else ''} the same as another once [outfit] "
        "is filled, and count twice."
        if again
        else ""
    )


def unchecked(study: Study, lora: str) -> str:
    """Held-out pictures of which the table alone says that a LoRA was not trained on them; "" otherwise."""
    why = why_unchecked(lora, study.registry.warehouse)
    return f"{UNCHECKED}, as {why}: only {study.plan.table.name} says so." if why else ""


def _nearly_trained(study: Study) -> str:
    """Held-out pictures that training pictures come very near to, though none is equal."""
    held_out = study.yardstick.standard.held_out
    near = int((hash_distances(held_out.hashes, study.yardstick.known.hashes) <= _NEARLY_SAME).sum())
    return (
        f"{near} of {counted(len(held_out), 'held-out picture')} are nearly the same as one that was trained "
        "on, which flatters; likenesses and the copying alarm are worth less."
        if near
        else ""
    )


def _missing(number: int) -> str:
    return f"{number} {'is' if number == 1 else 'are'} missing"


def _judges(study: Study) -> list[str]:
    judges = study.judges
    return [
        ""
        if judges.detector or judges.pose
        else "There is neither a person detector nor a pose estimator: pictures with nobody or with several "
        "people are told by likeness alone.",
        ""
        if any(group.kind == "generated" for group in judges.impostors)
        else "There are no pictures of other characters by the base model (impostors_generated.npz): the "
        "threshold stands on real ones alone, which generated pictures may pass more easily.",
        ""
        if judges.visions
        else "There is no image encoder (models/vision): copying, drift and diversity are told by hashes and "
        "by the identity model.",
    ]


def _same_tagger(study: Study) -> str:
    """Tags that are judged by a tagger that wrote the captions, for want of one that did not."""
    tables = caption_tables(study.plan.table, study.plan.lora, study.registry.warehouse)
    name = study.judges.tagger_name
    if name not in captioned_by(tables, study.subject.name):
        return ""
    return f"{name}, which judges the tags, also wrote the captions: tag recall and precision may flatter."
