"""The arms of an evaluation: the same prompts and seeds, asked for in different ways."""

from collections.abc import Sequence
from dataclasses import dataclass

from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.subject import Subject
from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.requests.placeholders import fill_placeholders

_SIDES = {"sdxl": 1024}
_DEFAULT_SIDE = 512


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to ask for the character.

    Attributes:
        name: Short name, also the folder of its pictures.
        label: What the report calls it.
        words: What stands for ``[character]`` in the prompts.
        lora: Registry name of the LoRA it is rendered with; "" for none.
    """

    name: str
    label: str
    words: str
    lora: str


def arms_of(plan: EvaluationPlan, subject: Subject) -> tuple[Arm, ...]:
    """Base + trigger, base + traits in words, the LoRA, and the lookalike's LoRA where there is one."""
    arms = [
        Arm("trigger", "Base + trigger", subject.name, ""),
        Arm("traits", "Base + traits in words", ", ".join(subject.traits), ""),
        Arm("lora", "LoRA", subject.name, plan.lora),
    ]
    if plan.lookalike:
        arms.append(Arm("lookalike", "Lookalike's LoRA", plan.lookalike_word or subject.name, plan.lookalike))
    return tuple(arms)


def native_side(card: dict[str, object], family: str) -> int:
    """Side in px that a base model was trained at: what its pictures are judged at."""
    side = card.get("native_side")
    return side if isinstance(side, int) else _SIDES.get(family, _DEFAULT_SIDE)


def requests_of(
    plan: EvaluationPlan, arm: Arm, prompts: Sequence[EvalPrompt], subject: Subject, side: int
) -> list[GenerationRequest]:
    """One request per prompt, each for all seeds."""
    values = {"character": arm.words, "outfit": subject.outfit, "style": subject.style}
    loras = (LoraUse(name=arm.lora, weight=plan.lora_weight),) if arm.lora else ()
    return [
        GenerationRequest(
            prompt=fill_placeholders(prompt.prompt, values)[0],
            negative=prompt.negative,
            model=plan.model,
            width=side,
            height=side,
            steps=plan.steps,
            seed=plan.first_seed,
            scheduler=plan.scheduler,
            guidance=plan.guidance,
            loras=loras,
            count=plan.seeds,
        )
        for prompt in prompts
    ]
