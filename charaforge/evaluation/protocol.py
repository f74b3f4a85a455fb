"""The protocol: set the threshold on impostors, render every arm alike, score, put into numbers.

subject and judges -> threshold, and what real pictures reach (else: not measurable, before any rendering)
-> the same prompts and seeds in every arm -> likeness and signature of each picture
-> shares with intervals clustered by prompt, and the paired gain over words
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from charaforge.errors import UsageError
from charaforge.evaluation.arms import Arm, arms_of, native_side, requests_of
from charaforge.evaluation.judges import Judges, find_judge, open_judges, usual_tags
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.prompts import EvalPrompt, load_prompts
from charaforge.evaluation.rendering import Renderer, content_hash
from charaforge.evaluation.results import ArmResult, Evaluation, PromptRecord
from charaforge.evaluation.scoring import accepts, judge_arm
from charaforge.evaluation.standard import Standard, set_standard
from charaforge.evaluation.statistics import difference
from charaforge.evaluation.subject import NameTraits, Subject, load_subject
from charaforge.evaluation.surroundings import surroundings
from charaforge.generation.generator import Generator
from charaforge.logs import Progress
from charaforge.perception.wd14 import WD14Tagger
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry


@dataclass(frozen=True, slots=True)
class Study:
    """Everything an evaluation needs before its first picture is rendered.

    Attributes:
        plan: What is measured.
        registry: The models by name.
        base: The base model.
        lora: The LoRA.
        prompts: Prompts in order.
        judges: Who judges.
        subject: Whom the LoRA shall show.
        standard: What pictures are held against.
    """

    plan: EvaluationPlan
    registry: Registry
    base: ModelEntry
    lora: ModelEntry
    prompts: tuple[EvalPrompt, ...]
    judges: Judges
    subject: Subject
    standard: Standard


def evaluate(plan: EvaluationPlan, warehouse: Warehouse, generator: Generator | None = None) -> Evaluation:
    """Measure one LoRA.

    Args:
        plan: What is measured.
        warehouse: Where the models are.
        generator: Renders the pictures; a new one when None.

    Raises:
        NotMeasurableError: no identity model, too few impostors or references, or the measure does not even
            accept real pictures of the character. Nothing has been rendered then.
        UsageError, ConfigError, UnknownNameError: the plan names what is not there.
    """
    clock = _Clock()
    study = prepare(plan, warehouse)
    clock.lap("references and threshold")
    arms = arms_of(plan, study.subject)
    files = _render(study, arms, generator or Generator(warehouse))
    clock.lap("rendering")
    ids = [prompt.id for prompt in study.prompts]
    results = [judge_arm(arm, files[arm.name], ids, plan, study.judges, study.standard) for arm in arms]
    clock.lap("scoring")
    return _assemble(study, results, clock.laps)


def prepare(plan: EvaluationPlan, warehouse: Warehouse) -> Study:
    """Read prompts and references, open the judges and set the threshold; errors as in ``evaluate``."""
    registry = Registry(warehouse)
    base, lora = registry.get(plan.model, "base"), registry.get(plan.lora, "lora")
    prompts = load_prompts(plan.prompts)[: plan.max_prompts]
    judges = open_judges(registry, base)
    subject = load_subject(plan.table, plan.character, warehouse, _trait_finder(registry, base))
    return Study(plan, registry, base, lora, prompts, judges, subject, set_standard(judges, subject))


def _render(study: Study, arms: Sequence[Arm], generator: Generator) -> dict[str, list[Path]]:
    plan = study.plan
    renderer = Renderer(generator, study.registry, plan.out / "pictures")
    side = native_side(study.base.card, study.base.family)
    names = [prompt.id for prompt in study.prompts]
    with Progress(len(arms) * len(names) * plan.seeds, "rendering", "pictures") as bar:
        return {
            arm.name: renderer.render(
                arm.name, names, requests_of(plan, arm, study.prompts, study.subject, side), bar
            )
            for arm in arms
        }


def _assemble(study: Study, results: Sequence[ArmResult], seconds: Mapping[str, float]) -> Evaluation:
    plan, standard = study.plan, study.standard
    arms = {arm.name: arm for arm in results}
    return Evaluation(
        character=study.subject.name,
        traits=study.subject.traits,
        signature=standard.signature,
        model=study.base.name,
        lora=study.lora.name,
        lora_sha256=content_hash(study.lora),
        identity_model=study.judges.identity_name,
        judge_model=study.judges.signature_name,
        references=tuple(str(path) for path in study.subject.references),
        thresholds=standard.thresholds,
        threshold=standard.threshold,
        impostor_histogram=standard.histogram,
        prompts=tuple(PromptRecord(id=p.id, prompt=p.prompt, group=p.group) for p in study.prompts),
        seeds=tuple(range(plan.first_seed, plan.first_seed + plan.seeds)),
        arms=tuple(results),
        ceiling=standard.ceiling,
        gain=difference(accepts(arms["lora"], plan.seeds), accepts(arms["traits"], plan.seeds)),
        bar=plan.bar,
        command=plan.command,
        environment=surroundings(),
        seconds=dict(seconds),
    )


def _trait_finder(registry: Registry, base: ModelEntry) -> NameTraits:
    def find(paths: Sequence[Path]) -> tuple[str, ...]:
        tagger = find_judge(registry, base, "tagger")
        if tagger is None:
            raise UsageError(
                "the table lists no traits, and there is no tagger to find them",
                'write "traits: long hair, …" into its column notes, or a WD14 tagger into models/taggers',
            )
        return usual_tags(WD14Tagger(tagger.path), paths)

    return find


class _Clock:
    """Times the stages of a run, s."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.monotonic()
        self.laps[stage], self._last = now - self._last, now
