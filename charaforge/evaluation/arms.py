"""The arms of an evaluation: the same prompts and seeds, asked for in different ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.subject import Subject
from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.requests.grammar import escape
from charaforge.requests.inputs import Control
from charaforge.requests.placeholders import fill_placeholders

_SIDES = {"sdxl": 1024}
_DEFAULT_SIDE = 512


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to ask for the character.

    Attributes:
        name: Short name, also the folder of its pictures.
        label: What the report calls it.
        words: What stands for ``[character]`` in the prompts; "": the character is not asked for.
        lora: Registry name of the LoRA it is rendered with; "" for none.
        weight: Weight of the LoRA.
        poses: Prompt id -> pose file that a ControlNet follows; empty: no control.
    """

    name: str
    label: str
    words: str
    lora: str = ""
    weight: float = 1.0
    poses: Mapping[str, Path] = field(default_factory=dict)


def arms_of(plan: EvaluationPlan, subject: Subject, poses: Mapping[str, Path]) -> tuple[Arm, ...]:
    """Base + trigger, base + traits in words, the LoRA, with poses, and the lookalike's LoRA."""
    arms = [*baselines(subject), Arm("lora", "LoRA", subject.name, plan.lora, plan.lora_weight)]
    if poses:
        arms.append(Arm("posed", "LoRA + pose control", subject.name, plan.lora, plan.lora_weight, poses))
    if plan.lookalike:
        arms.append(Arm("lookalike", "Lookalike's LoRA", plan.lookalike_word or subject.name, plan.lookalike))
    return tuple(arms)


def baselines(subject: Subject) -> tuple[Arm, Arm]:
    """What the base model does alone: with the trigger word, and told the traits in words."""
    return (
        Arm("trigger", "Base + trigger", subject.name),
        Arm("traits", "Base + traits in words", ", ".join(subject.traits)),
    )


def strangers(plan: EvaluationPlan) -> tuple[Arm, Arm]:
    """The arms that nobody asks the character of: without the LoRA and with it."""
    return (
        Arm("stranger-base", "Base, nobody named", ""),
        Arm("stranger-lora", "LoRA, nobody named", "", plan.lora, plan.lora_weight),
    )


def native_side(card: dict[str, object], family: str) -> int:
    """Side in px that a base model was trained at: what its pictures are judged at."""
    side = card.get("native_side")
    return side if isinstance(side, int) else _SIDES.get(family, _DEFAULT_SIDE)


def words_of(prompt: EvalPrompt, arm: Arm, subject: Subject) -> str:
    """The prompt of an arm, its placeholders filled; without a character it wears no outfit of its own."""
    return fill_placeholders(prompt.prompt, _values(arm, subject))[0]


def requests_of(
    plan: EvaluationPlan,
    arm: Arm,
    prompts: Sequence[EvalPrompt],
    subject: Subject,
    side: int,
    first_seed: int | None = None,
    seeds: int | None = None,
) -> list[GenerationRequest]:
    """One request per prompt, each for all seeds; ``first_seed`` and ``seeds`` are the plan's by default."""
    loras = (LoraUse(name=arm.lora, weight=arm.weight),) if arm.lora else ()
    return [
        GenerationRequest(
            prompt=_asked(prompt, arm, subject),
            negative=prompt.negative,
            model=plan.model,
            width=side,
            height=side,
            steps=plan.steps,
            seed=plan.first_seed if first_seed is None else first_seed,
            scheduler=plan.scheduler,
            guidance=plan.guidance,
            loras=loras,
            controls=_controls(arm, prompt),
            count=plan.seeds if seeds is None else seeds,
        )
        for prompt in prompts
    ]


def _asked(prompt: EvalPrompt, arm: Arm, subject: Subject) -> str:
    """The prompt of an arm as the generator reads it: brackets in a name are brackets, not weights."""
    values = {name: escape(text) for name, text in _values(arm, subject).items()}
    return fill_placeholders(prompt.prompt, values)[0]


def _values(arm: Arm, subject: Subject) -> dict[str, str]:
    outfit = subject.outfit if arm.words else ""
    return {"character": arm.words, "outfit": outfit, "style": subject.style}


def _controls(arm: Arm, prompt: EvalPrompt) -> tuple[Control, ...]:
    pose = arm.poses.get(prompt.id)
    return (Control(type="pose", image=str(pose.resolve())),) if pose else ()
