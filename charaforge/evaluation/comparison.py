"""Two LoRAs of one character, on the same prompts and seeds: which one is it more often?"""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from charaforge.config import StrictModel
from charaforge.evaluation.arms import Arm, baselines
from charaforge.evaluation.catalogue import records
from charaforge.evaluation.cautions import unchecked, warnings_of
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.protocol import prepare, prompt_records, settings_of
from charaforge.evaluation.rendering import content_hash
from charaforge.evaluation.report.cells import why_refused
from charaforge.evaluation.report.text import refusal_text
from charaforge.evaluation.results import ArmResult, MetricRecord, PromptRecord, Refusal
from charaforge.evaluation.scoring import Sitting, accepts, judge_arms
from charaforge.evaluation.session import Session
from charaforge.evaluation.statistics import Interval, difference, spread
from charaforge.evaluation.subject import characters_in
from charaforge.evaluation.surroundings import surroundings
from charaforge.evaluation.tables import between, markdown, told
from charaforge.evaluation.threshold import Threshold
from charaforge.evaluation.verdict import counted, points, told_rate
from charaforge.generation.generator import Generator
from charaforge.warehouse.atomic import write_text
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

MARGIN = 0.05
"""How far A may lie below B and still count as no worse."""

_NEARLY_ALWAYS = 0.95
"""Share of accepted pictures from which on a LoRA counts as nearly perfect."""

_ROUND, _MOST_PROMPTS = 50, 1000
"""Numbers of prompts that are advised are multiples of the one, and no higher than the other."""


class Comparison(StrictModel):
    """The result of comparing two LoRAs."""

    character: str = Field(description="whom both shall show")
    model: str = Field(description="base model")
    a: ArmResult = Field(description="the first LoRA")
    b: ArmResult = Field(description="the second LoRA")
    sha256: tuple[str, str] = Field(description="of what each draws with")
    gain: Interval = Field(description="share of A minus share of B, paired by prompt")
    margin: float = Field(
        ge=0, lt=1, description="A passes when the lower bound of the gain is at least minus this"
    )
    metrics: tuple[MetricRecord, ...] = Field(description="what the metrics are")
    prompts: tuple[PromptRecord, ...] = Field(description="prompts in order")
    seeds: tuple[int, ...] = Field(description="seeds in order")
    threshold: Threshold = Field(description="likeness from which on a picture is accepted")
    settings: dict[str, str] = Field(
        description="how the pictures were rendered, and what they were held against"
    )
    warnings: tuple[str, ...] = Field(description="what a reader has to know about these numbers")
    environment: dict[str, str] = Field(description="versions and hardware")
    command: str = Field(description="command line that repeats the comparison")

    @property
    def passed(self) -> bool:
        """Whether A is no worse than B by more than the margin, with 95 % confidence."""
        return self.gain.low >= -self.margin

    @property
    def headline(self) -> str:
        """The result in one line."""
        if self.gain.low > 0:
            return f"{self.a.label} is better than {self.b.label}"
        if self.gain.high < 0:
            return f"{self.b.label} is better than {self.a.label}"
        return f"{self.a.label} and {self.b.label} cannot be told apart with this many pictures"

    @property
    def advice(self) -> str:
        """How many prompts to give where so few cannot show that two good LoRAs are alike; else ""."""
        given, seeds = len(self.prompts), len(self.seeds)
        worst = min(self.a.accepted.estimate, self.b.accepted.estimate)
        needed = prompts_needed(self.margin, seeds)
        if self.passed or self.gain.high < 0 or worst < _NEARLY_ALWAYS or not given < needed:
            return ""
        return (
            f"More prompts are needed: with {counted(given, 'prompt')} not even two LoRAs that are always "
            f"accepted can be shown to lie within {points(self.margin)} of each other; give {needed} prompts."
        )


class Sameness(StrictModel):
    """The result where both names stand for one LoRA: there is nothing to compare."""

    status: Literal["the same LoRA"] = "the same LoRA"
    a: str = Field(description="name of the first")
    b: str = Field(description="name of the second")
    sha256: str = Field(description="of what both draw with")
    command: str = Field(description="command line that repeats the comparison")

    @property
    def headline(self) -> str:
        """The result in one line."""
        return f"{self.a} and {self.b}: it is the same LoRA"


def prompts_needed(margin: float, seeds: int) -> int:
    """Prompts, rounded up, that show two always accepted LoRAs to lie within a margin; 0: none do."""
    for prompts in range(_ROUND, _MOST_PROMPTS + 1, _ROUND):
        always = np.ones((prompts, seeds), bool)
        if difference(always, always).low >= -margin:
            return prompts
    return 0


def same_lora(plan: EvaluationPlan, other: str, word: str, warehouse: Warehouse) -> Sameness | None:
    """Tell whether both LoRAs are one, asked for by one word; nothing is rendered, or held against pictures.

    Args:
        plan: ``lora`` is A.
        other: Registry name of B, which is rendered with the same weight.
        word: Trigger word of B.
        warehouse: Where the models are.

    Raises:
        UsageError, UnknownNameError, DatasetError: there is no such LoRA, or no such table.
    """
    registry = Registry(warehouse)
    one, two = (content_hash(registry.get(name, "lora")) for name in (plan.lora, other))
    if one != two or [word] != ([plan.character] if plan.character else characters_in(plan.table)):
        return None
    return Sameness(a=plan.lora, b=other, sha256=one, command=plan.command)


def compare(
    plan: EvaluationPlan,
    other: str,
    word: str,
    margin: float,
    warehouse: Warehouse,
    generator: Generator | None = None,
) -> Comparison:
    """Compare two LoRAs of one character.

    Args:
        plan: ``lora`` is A; prompts, seeds, references and settings hold for both.
        other: Registry name of B.
        word: Trigger word of B.
        margin: See ``Comparison``.
        warehouse: Where the models are.
        generator: Renders the pictures; a new one when None.

    Raises:
        NotMeasurableError, UsageError, UnknownNameError: as of ``protocol.evaluate``.
    """
    study = prepare(plan, warehouse, other)
    second = study.registry.get(other, "lora")
    sitting = Sitting(study.prompts, plan.first_seed, plan.seeds)
    traits = baselines(study.subject)[1]
    arms = [
        Arm("lora", plan.lora, study.subject.name, plan.lora, plan.lora_weight),
        Arm("other", other, word, other, plan.lora_weight),
    ]
    seen = Session(study, generator or Generator(warehouse)).show([*arms, traits], sitting)
    results, redrawn = judge_arms(arms, seen, sitting, study.yardstick, plan.out)
    a, b = results["lora"], results["other"]
    doubt = unchecked(study, other)
    flags = accepts(a, plan.seeds), accepts(b, plan.seeds)
    return Comparison(
        character=study.subject.name,
        model=study.base.name,
        a=a,
        b=b,
        sha256=(content_hash(study.lora), content_hash(second)),
        gain=difference(*flags, reference_variance=spread(redrawn["lora"] - redrawn["other"])),
        margin=margin,
        metrics=records(),
        prompts=prompt_records(sitting),
        seeds=sitting.seed_list,
        threshold=study.yardstick.standard.threshold,
        settings={
            "base model": f"{study.base.name}, sha256 {content_hash(study.base)}",
            **settings_of(study),
        },
        warnings=(*warnings_of(study, sitting), *([f"{other}: {doubt}"] if doubt else [])),
        environment=surroundings(),
        command=plan.command,
    )


def write_comparison(found: Comparison, folder: Path) -> Path:
    """Write ``comparison.json`` and ``comparison.md`` into ``folder``; return the path of the latter."""
    return _written(found, comparison_text(found), folder)


def write_sameness(found: Sameness, folder: Path) -> Path:
    """Write both files where both LoRAs are one; return the path of ``comparison.md``."""
    return _written(
        found, f"# {found.headline}\n\nsha256 {found.sha256}\n\n```\n{found.command}\n```\n", folder
    )


def write_comparison_refusal(refusal: Refusal, folder: Path) -> Path:
    """Write both files of what could not be compared, in place of earlier ones; return the latter's path."""
    return _written(refusal, refusal_text(refusal), folder)


def _written(result: StrictModel, text: str, folder: Path) -> Path:
    write_text(folder / "comparison.json", result.model_dump_json(indent=2) + "\n")
    path = folder / "comparison.md"
    write_text(path, text)
    return path


def comparison_text(found: Comparison) -> str:
    """The comparison as Markdown: both shares, their paired difference, all metrics, where they differ."""
    both = (found.a, found.b)
    shares: list[tuple[str, ...]] = [("LoRA", "n", "CCR", "95 % interval", "effective n")]
    shares += [
        (
            one.label,
            str(one.accepted.pictures),
            f"{one.accepted.estimate:.3f}",
            between(one.accepted),
            f"{one.accepted.effective:.0f}",
        )
        for one in both
    ]
    parts = [
        f"# {found.headline}",
        f"{found.a.label} minus {found.b.label}: {found.gain.estimate:+.3f} ({between(found.gain)}), paired "
        f"by prompt, {counted(len(found.prompts), 'prompt')} × {counted(len(found.seeds), 'seed')}.",
        found.advice,
        markdown(shares),
        markdown(_measures(found)),
        "## Where they differ",
        markdown(_differing(found)),
        "## Settings",
        "".join(f"- {line}\n" for line in found.warnings).strip(),
        markdown(_settings(found)),
        f"```\n{found.command}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _settings(found: Comparison) -> list[tuple[str, ...]]:
    hashes = {
        one.label: f"sha256 {digest}" for one, digest in zip((found.a, found.b), found.sha256, strict=True)
    }
    limit = {"threshold": f"{found.threshold.value:.4f} at {told_rate(found.threshold)}"}
    return [("what", "value"), *{**hashes, **limit, **found.settings, **found.environment}.items()]


def _measures(found: Comparison) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("metric", "unit", "better", found.a.label, found.b.label)]
    for record in found.metrics:
        one, two = (
            next((m for m in arm.measures if m.name == record.name), None) for arm in (found.a, found.b)
        )
        if one and two and (one.estimate is not None or two.estimate is not None):
            rows.append((record.label, record.unit, record.better, told(one), told(two)))
    return rows


def _differing(found: Comparison) -> list[tuple[str, ...]]:
    """Pictures that one LoRA is accepted in and the other is not."""
    rows: list[tuple[str, ...]] = [("prompt", "seed", found.a.label, found.b.label)]
    for one, two in zip(found.a.pictures, found.b.pictures, strict=True):
        if one.accepted != two.accepted:
            words = tuple(why_refused(p) or f"accepted, {p.likeness:.2f}" for p in (one, two))
            rows.append((one.prompt_id, str(one.seed), *words))
    return rows if len(rows) > 1 else [*rows, ("–", "–", "–", "–")]
