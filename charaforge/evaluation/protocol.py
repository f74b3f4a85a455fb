"""The protocol: set the threshold on impostors, render every arm alike, score, put into numbers.

subject and judges -> threshold, and what real pictures reach (else: not measurable, before any rendering)
-> the same prompts and seeds in every arm -> everything that is seen in each picture
-> shares with intervals clustered by prompt, the paired gain over words, the gates
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from charaforge.evaluation.arms import Arm, arms_of, strangers
from charaforge.evaluation.catalogue import records
from charaforge.evaluation.cautions import warnings_of
from charaforge.evaluation.gates import Gates
from charaforge.evaluation.metrics import drift
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.pose_scoring import pose_measures
from charaforge.evaluation.rendering import content_hash
from charaforge.evaluation.results import (
    ArmResult,
    ChoiceRecord,
    Evaluation,
    GateRecord,
    ImpostorRecord,
    Measure,
    PromptRecord,
)
from charaforge.evaluation.scoring import (
    Sitting,
    accepts,
    embeddings,
    judge_arms,
    leaking,
    measure,
    share_measure,
)
from charaforge.evaluation.session import Session
from charaforge.evaluation.statistics import Floats, Interval, difference, spread
from charaforge.evaluation.study import Study, prepare
from charaforge.evaluation.surroundings import surroundings
from charaforge.generation.generator import Generator
from charaforge.warehouse.digests import weights_sha256
from charaforge.warehouse.layout import Warehouse

__all__ = ["Clock", "Study", "conclude", "evaluate", "prepare", "stranger_measures", "told_file"]

_POSED = ("lora", "posed")
_KINDS = {
    "identity": "identity",
    "signature": "judge",
    "tags": "tagger",
    "pose": "pose",
    "people": "detector",
}


def evaluate(plan: EvaluationPlan, warehouse: Warehouse, generator: Generator | None = None) -> Evaluation:
    """Measure one LoRA.

    Args:
        plan: What is measured.
        warehouse: Where the models are.
        generator: Renders the pictures; a new one when None.

    Raises:
        NotMeasurableError: faulty prompts, no identity model, too few impostors or references, a LoRA for
            another base, or the measure does not even accept real pictures of the character.
        UsageError, UnknownNameError: the plan names what is not there.
    """
    clock = Clock()
    study = prepare(plan, warehouse)
    clock.lap("references and threshold")
    session = Session(study, generator or Generator(warehouse))
    return conclude(study, session, Sitting(study.prompts, plan.first_seed, plan.seeds), clock)


def conclude(
    study: Study, session: Session, sitting: Sitting, clock: "Clock", choice: ChoiceRecord | None = None
) -> Evaluation:
    """Render and judge all arms of a study in one sitting, and put the result together."""
    poses, targets = study.poses(sitting.prompts)
    arms = arms_of(study.plan, study.subject, poses)
    seen = session.show(arms, sitting)
    clock.lap("rendering and looking")
    results, redrawn = judge_arms(arms, seen, sitting, study.yardstick, study.plan.out)
    for name in _POSED if poses else ():
        told = pose_measures(seen[name], targets, sitting)
        results[name] = results[name].model_copy(update={"measures": (*results[name].measures, *told)})
    gone = stranger_measures(study, session, sitting, strangers(study.plan))
    results["lora"] = results["lora"].model_copy(update={"measures": (*results["lora"].measures, *gone)})
    clock.lap("scoring")
    lora = next(arm for arm in arms if arm.name == "lora")
    by_tag = (
        leaking(lora, seen["lora"], seen["traits"], sitting, study.subject)[1] if study.judges.tagger else {}
    )
    return _assemble(study, sitting, results, redrawn, by_tag, clock.laps, choice)


def stranger_measures(
    study: Study, session: Session, sitting: Sitting, arms: tuple[Arm, Arm]
) -> tuple[Measure, Measure]:
    """Drift and takeover of an arm, on the first prompts without the character, one picture each."""
    prompts = sitting.prompts[: study.plan.drift_prompts]
    if not prompts:
        reason = "no prompts without the character were asked for (drift_prompts 0)"
        return measure(drift.METRIC.name, None, 1, reason), measure(drift.TAKEOVER.name, None, 1, reason)
    alone = Sitting(prompts, sitting.first_seed, 1)
    seen = session.show(arms, alone)
    base, own = (seen[arm.name] for arm in arms)
    kind = study.yardstick.encoder
    away = measure(drift.METRIC.name, drift.drifts(embeddings(own, kind), embeddings(base, kind)), 1)
    taken = study.yardstick.standard.judge(own).accepted
    if len(prompts) < 2:
        return away, measure(drift.TAKEOVER.name, taken.astype(np.float64), 1)
    return away, share_measure(drift.TAKEOVER.name, taken, 1)


def gates_of(lora: ArmResult, base: ArmResult, gates: Gates | None = None) -> tuple[GateRecord, ...]:
    """Check the gates for an arm with a LoRA, beside the base that is told the traits."""
    found = {one.name: one.estimate for one in lora.measures}
    recall, wanted = found.get("tag_recall"), base.measure("tag_recall").estimate
    loss = None if recall is None or wanted is None else max(0.0, wanted - recall)
    return (gates or Gates()).check(
        found["copies"], found["corruption"], found.get("drift"), loss, found["trait_loss"]
    )


def _assemble(
    study: Study,
    sitting: Sitting,
    arms: Mapping[str, ArmResult],
    redrawn: Mapping[str, Floats],
    by_tag: Mapping[str, float],
    seconds: Mapping[str, float],
    choice: ChoiceRecord | None,
) -> Evaluation:
    plan, standard = study.plan, study.yardstick.standard

    def beyond(one: str, other: str) -> Interval:
        a, b = (accepts(arms[name], sitting.seeds) for name in (one, other))
        return difference(a, b, reference_variance=spread(redrawn[one] - redrawn[other]))

    return Evaluation(
        character=study.subject.name,
        traits=study.subject.traits,
        signature=standard.signature,
        model=study.base.name,
        model_sha256=content_hash(study.base),
        lora=plan.lora,
        lora_weight=plan.lora_weight,
        lora_sha256=content_hash(study.registry.get(plan.lora, "lora")),
        identity_model=study.judges.identity_name,
        judge_model=study.judges.signature_name,
        judges=_judges(study),
        references=tuple(str(path) for path in study.subject.references),
        impostors=_impostors(study),
        gallery=len(standard.gallery),
        gallery_hard=standard.gallery.hard,
        thresholds=standard.thresholds,
        threshold=standard.threshold,
        impostor_histogram=standard.histogram,
        prompts=prompt_records(sitting),
        seeds=sitting.seed_list,
        settings=settings_of(study),
        metrics=records(),
        arms=tuple(arms.values()),
        ceiling=standard.ceiling,
        gain=beyond("lora", "traits"),
        pose_cost=beyond("posed", "lora") if "posed" in arms else None,
        leaking_tags={tag: excess for tag, excess in list(by_tag.items())[:10] if excess > 0},
        gates=gates_of(arms["lora"], arms["traits"]),
        choice=choice,
        warnings=warnings_of(study, sitting),
        bar=plan.bar,
        command=plan.command,
        environment=surroundings(),
        seconds=dict(seconds),
    )


def prompt_records(sitting: Sitting) -> tuple[PromptRecord, ...]:
    """The prompts as reports name them."""
    return tuple(PromptRecord(id=p.id, prompt=p.prompt, group=p.group) for p in sitting.prompts)


def _impostors(study: Study) -> tuple[ImpostorRecord, ...]:
    hard = int(study.yardstick.standard.hard.sum())
    return tuple(
        ImpostorRecord(kind=group.kind, pictures=len(group), hard=hard if group.kind == "real" else 0)
        for group in study.yardstick.standard.impostors
    )


def _judges(study: Study) -> dict[str, str]:
    told = {}
    for use, name in study.judges.names.items():
        kinds = (_KINDS[use],) if use in _KINDS else ("vision", "ipadapter")
        entry = next(one for kind in kinds for one in study.registry.list(kind) if one.name == name)
        told[use] = f"{name} {weights_sha256(entry.path)[:16]}"
    return told


def settings_of(study: Study) -> dict[str, str]:
    """How the pictures are rendered, and from which files prompts, references and impostors come."""
    plan = study.plan
    guidance = plan.guidance or study.base.card.get("guidance") or "default"
    return {
        "pictures": f"{study.side} × {study.side} px",
        "sampler": f"{plan.scheduler}, {plan.steps} steps",
        "guidance": str(guidance),
        "LoRA weight": f"{plan.lora_weight:g}",
        "table": told_file(plan.table),
        "prompts file": told_file(plan.prompts),
        **{f"impostors from {name}": told for name, told in study.judges.impostor_sources.items()},
    }


def told_file(path: Path) -> str:
    """Name and sha256 of a file, as reports print them."""
    return f"{path.name} sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


class Clock:
    """Times the stages of a run, s."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.monotonic()
        self.laps[stage], self._last = now - self._last, now
