"""The result in words: what the report says on top and a command says last."""

from dataclasses import dataclass

from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement in plain words.

    Attributes:
        passed: Whether the lower bound reaches the bar.
        headline: One line.
        paragraph: What was found, with all numbers that matter.
    """

    passed: bool
    headline: str
    paragraph: str


def verdict(evaluation: Evaluation) -> Verdict:
    """Put the result of an evaluation into words."""
    lora = evaluation.arm("lora").accepted
    name, gain = evaluation.character, evaluation.gain
    headline = f"{name} is recognised in {percent(lora.estimate)} of the LoRA's pictures"
    sentences = [
        f"Of {lora.pictures} pictures by the LoRA ({lora.prompts} prompts × {len(evaluation.seeds)} seeds), "
        f"{_with_interval(lora)} are accepted as {name} at {_rate(evaluation)} false accepts.",
        f"The same prompts and seeds on the base model alone: {_baseline(evaluation, 'trigger')} with the "
        "trigger word, "
        f"{_baseline(evaluation, 'traits')} with the traits in words.",
        f"The LoRA is {points(gain.estimate)} above the words, at least {points(gain.low)}.",
        f"Real pictures of {name} reach {percent(evaluation.ceiling.accepted.estimate)}.",
        *_signature(evaluation),
        *_chosen(evaluation),
        *_pose(evaluation),
        *_copied(evaluation),
        _bar(evaluation),
    ]
    return Verdict(evaluation.passed, headline, " ".join(sentences))


def percent(share: float) -> str:
    """0.934 -> "93 %", with a space that does not break."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def points(gain: float) -> str:
    """0.62 -> "62 points"; a negative number gets a real minus sign."""
    return f"{100 * gain:.0f} points".replace("-", "\N{MINUS SIGN}")


def _with_interval(share: Interval) -> str:
    return f"{percent(share.estimate)} (95 % interval {100 * share.low:.0f} to {percent(share.high)})"


def _rate(evaluation: Evaluation) -> str:
    return f"{100 * evaluation.threshold.rate:.2g}\N{NO-BREAK SPACE}%"


def _baseline(evaluation: Evaluation, name: str) -> str:
    return percent(evaluation.arm(name).accepted.estimate)


def _signature(evaluation: Evaluation) -> list[str]:
    seen = evaluation.arm("lora").signature
    if seen is None or not evaluation.signature:
        return []
    words = evaluation.arm("traits").signature
    beside = f", in {percent(words.estimate)} without the LoRA" if words else ""
    return [
        f"A second, independent judge sees the signature trait ({evaluation.signature}) in "
        f"{percent(seen.estimate)}{beside}."
    ]


def _chosen(evaluation: Evaluation) -> list[str]:
    choice = evaluation.choice
    if choice is None:
        return []
    step = f"step {choice.step:,}" if choice.step is not None else choice.name
    return [
        f"Chosen was {step} of {len(choice.checkpoints)} looked at, at weight {choice.weight:g}; these "
        "numbers come from other prompts and seeds than the choice."
    ]


def _pose(evaluation: Evaluation) -> list[str]:
    cost = evaluation.pose_cost
    if cost is None:
        return []
    posed = evaluation.arm("posed").accepted
    return [
        f"With pose control it is {percent(posed.estimate)}, a difference of {points(cost.estimate)} "
        f"({points(cost.low)} to {points(cost.high)})."
    ]


def _copied(evaluation: Evaluation) -> list[str]:
    alarm = next((gate for gate in evaluation.gates if gate.name == "copies" and not gate.passed), None)
    if alarm is None:
        return []
    return [f"Copying alarm: {percent(alarm.value or 0)} of the pictures are training pictures again."]


def _bar(evaluation: Evaluation) -> str:
    low, bar = percent(evaluation.arm("lora").accepted.low), percent(evaluation.bar)
    if not evaluation.copying_passed:
        return "Not passed: pictures that are copied prove nothing."
    if evaluation.passed:
        return f"Passed: the lower bound, {low}, reaches the bar of {bar}."
    return f"Not passed: the lower bound, {low}, is below the bar of {bar}."
