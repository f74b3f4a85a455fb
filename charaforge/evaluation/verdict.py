"""The result in words: what the report says on top and a command says last."""

from dataclasses import dataclass

from charaforge.evaluation.apart import UNCHECKED
from charaforge.evaluation.gates import copying_unmeasured
from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.statistics import Interval
from charaforge.evaluation.threshold import FALSE_ACCEPT_RATE, Threshold

_TAKEN_OVER = 0.20
"""Share of pictures of nobody in particular that may show the character before it is said on top."""

_MOST_DECIMALS = 6
"""Of a percentage that would else be told as the very bar it lies below."""

_GATES = {
    "corruption": "broken pictures",
    "drift": "drift where nobody is named",
    "recall_loss": "tag recall lost against the base",
    "trait_loss": "a fixed trait that is often missing",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement in plain words.

    Attributes:
        passed: Whether the lower bound reaches the bar, and nothing says that pictures are copied.
        result: The same in words; they say where copying was not measured.
        headline: One line.
        paragraph: What was found, with all numbers that matter.
    """

    passed: bool
    result: str
    headline: str
    paragraph: str


def verdict(evaluation: Evaluation) -> Verdict:
    """Put the result of an evaluation into words."""
    lora = evaluation.arm("lora").accepted
    name, gain = evaluation.character, evaluation.gain
    headline = f"{name} is recognised in {percent(lora.estimate)} of the LoRA's pictures"
    sentences = [
        f"Of {lora.pictures} pictures by the LoRA ({counted(lora.prompts, 'prompt')} × "
        f"{counted(len(evaluation.seeds), 'seed')}), {_with_interval(lora)} are accepted as {name} at "
        f"{told_rate(evaluation.threshold)}.",
        f"The same prompts and seeds on the base model alone: {_baseline(evaluation, 'trigger')} with the "
        "trigger word, "
        f"{_baseline(evaluation, 'traits')} with the traits in words.",
        f"LoRA minus words: {points(gain.estimate)} ({points(gain.low)} to {points(gain.high)}).",
        f"Real pictures of {name} reach {percent(evaluation.ceiling.accepted.estimate)}.",
        *_signature(evaluation),
        *_chosen(evaluation),
        *_pose(evaluation),
        *_copied(evaluation),
        *_unchecked(evaluation),
        *_other_gates(evaluation),
        *_taken_over(evaluation),
        _bar(evaluation),
    ]
    return Verdict(evaluation.passed, _result(evaluation), headline, " ".join(sentences))


def percent(share: float, digits: int = 0) -> str:
    """0.934 -> "93 %", with a space that does not break."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def points(gain: float) -> str:
    """0.62 -> "62 points"; a negative number gets a real minus sign."""
    whole = round(100 * gain)
    return f"{whole} point{'' if abs(whole) == 1 else 's'}".replace("-", "\N{MINUS SIGN}")


def counted(number: int, thing: str) -> str:
    """1, "seed" -> "1 seed"; 4, "seed" -> "4 seeds"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def told_rate(threshold: Threshold) -> str:
    """At how many false accepts a threshold lies, e.g. "1 % false accepts"."""
    if threshold.source == "hard":
        return (
            f"{100 * FALSE_ACCEPT_RATE:.2g}\N{NO-BREAK SPACE}% false accepts, a third of the weight on hard "
            f"negatives, of whom {100 * threshold.rate:.2g}\N{NO-BREAK SPACE}% are let in"
        )
    return f"{100 * threshold.rate:.2g}\N{NO-BREAK SPACE}% false accepts"


def _with_interval(share: Interval) -> str:
    return f"{percent(share.estimate)} (95 % interval {100 * share.low:.0f} to {percent(share.high)})"


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
        f"Chosen was {step} at weight {choice.weight:g}, of "
        f"{counted(len(choice.checkpoints), 'checkpoint')}; these numbers come from other prompts "
        "and seeds than the choice."
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


def _result(evaluation: Evaluation) -> str:
    if not evaluation.passed:
        return "Not passed"
    return "Passed, copying not measured" if copying_unmeasured(evaluation.gates) else "Passed"


def _copied(evaluation: Evaluation) -> list[str]:
    if copying_unmeasured(evaluation.gates):
        told = evaluation.arm("lora").measures
        why = next((f": {one.reason}" for one in told if one.name == "copies" and one.reason), "")
        return [f"Caution: copying was not measured{why}."]
    alarm = next((gate for gate in evaluation.gates if gate.name == "copies" and not gate.passed), None)
    if alarm is None:
        return []
    return [f"Copying alarm: {percent(alarm.value or 0)} of the pictures are training pictures again."]


def _unchecked(evaluation: Evaluation) -> list[str]:
    told = [line for line in evaluation.warnings if line.startswith(UNCHECKED)]
    return [f"Caution: {line[0].lower()}{line[1:]}" for line in told]


def _other_gates(evaluation: Evaluation) -> list[str]:
    """Gates that say nothing of likeness, and are not passed."""
    failing = [gate for gate in evaluation.gates if not gate.passed and gate.name in _GATES]
    told = [f"{_GATES[gate.name]} {gate.value or 0:.2f}, above {gate.limit:.2f}" for gate in failing]
    return [f"Caution: {'; '.join(told)}."] if told else []


def _taken_over(evaluation: Evaluation) -> list[str]:
    found = next((one for one in evaluation.arm("lora").measures if one.name == "takeover"), None)
    if found is None or found.estimate is None or found.estimate <= _TAKEN_OVER:
        return []
    name = evaluation.character
    return [
        f"Caution: {percent(found.estimate)} of the pictures in which nobody asked for {name} show {name} "
        "all the same; a smaller weight or an earlier checkpoint may leave other characters alone."
    ]


def _bar(evaluation: Evaluation) -> str:
    low, bar = evaluation.arm("lora").accepted.low, evaluation.bar
    if not evaluation.copying_passed:
        return "Not passed: pictures that are copied prove nothing."
    if evaluation.passed:
        return f"{_result(evaluation)}: the lower bound, {percent(low)}, reaches the bar of {percent(bar)}."
    below, above = _told_apart(low, bar)
    return f"Not passed: the lower bound, {below}, is below the bar of {above}."


def _told_apart(low: float, bar: float) -> tuple[str, str]:
    """Two shares as percentages, with as many decimals as it takes for them to differ."""
    pairs = [(percent(low, digits), percent(bar, digits)) for digits in range(_MOST_DECIMALS + 1)]
    return next(((one, two) for one, two in pairs if one != two), pairs[-1])
