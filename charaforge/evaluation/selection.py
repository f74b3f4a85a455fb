"""From the checkpoints of a training run to one LoRA with an honest number.

screening: every checkpoint, one picture per prompt -> the best few that pass the gates
-> these with all seeds, and drift; where none passes any more, the next ones until one does
-> the earliest within a hundredth of the best
-> other weights, one picture per prompt; the best, if it beats 1, with all seeds
-> the chosen one on prompts and seeds that had no part in the choice
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from charaforge.config import StrictModel
from charaforge.errors import NotMeasurableError
from charaforge.evaluation.arms import Arm, baselines
from charaforge.evaluation.checkpoints import Checkpoint, checkpoints_of
from charaforge.evaluation.choice import FINALISTS, Flags, best_few, better_weight, earliest_within, in_turn
from charaforge.evaluation.features import Features
from charaforge.evaluation.gates import faults
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.protocol import (
    Clock,
    conclude,
    gates_of,
    prepare,
    prompt_records,
    stranger_measures,
    told_file,
)
from charaforge.evaluation.results import ArmResult, CandidateRecord, ChoiceRecord, Evaluation
from charaforge.evaluation.scoring import Sitting, accepts, judge_arm
from charaforge.evaluation.session import Session
from charaforge.evaluation.study import Study, measurable_prompts
from charaforge.evaluation.verdict import counted
from charaforge.generation.generator import Generator
from charaforge.logs import get_logger
from charaforge.warehouse.layout import Warehouse

logger = get_logger(__name__)

WEIGHTS = (0.6, 0.8, 1.2)
"""LoRA weights that are tried beside 1: what was learnt too well comes out below, what hardly was above."""

_FRESH_SEEDS = 100_000
"""How far the seeds of the published numbers lie from those of the choice."""


class SelectionPlan(StrictModel):
    """A choice among checkpoints, and the evaluation of what is chosen."""

    evaluation: EvaluationPlan = Field(description="lora is the id of the LoRA; its prompts serve the choice")
    fresh_prompts: Path | None = Field(
        None, description="prompts of the published numbers; None: some of the others are kept for them"
    )
    most: int = Field(8, ge=1, le=64, description="checkpoints that are looked at, evenly spread")
    finalists: int = Field(FINALISTS, ge=1, description="checkpoints that are measured with all seeds")
    further: int | None = Field(
        None, ge=0, description="more of them where none of these passes the gates; None: all"
    )
    weights: tuple[float, ...] = Field(WEIGHTS, description="weights tried beside 1; empty: none")


@dataclass(frozen=True)
class _Entry:
    """One checkpoint at one weight, in one sitting."""

    arm: Arm
    result: ArmResult
    faults: tuple[str, ...]


def select(plan: SelectionPlan, warehouse: Warehouse, generator: Generator | None = None) -> Evaluation:
    """Choose a checkpoint and a weight, and measure them on fresh prompts and seeds.

    Nothing is replaced: ``checkpoints.adopt`` makes the chosen one the LoRA. Stopped at any moment and called
    again it goes on from the pictures that are there, and finds the same.

    Args:
        plan: What is measured.
        warehouse: Where the models are.
        generator: Renders the pictures; a new one when None.

    Raises:
        NotMeasurableError: there are no checkpoints, or as of ``evaluate``.
        UsageError, UnknownNameError: the plan names what is not there.
    """
    clock, asked = Clock(), plan.evaluation
    known = checkpoints_of(asked.lora, warehouse, plan.most)
    _tell_left_out(known, asked.lora)
    study = prepare(asked.model_copy(update={"lora": known[-1].name}), warehouse)
    clock.lap("references and threshold")
    session = Session(study, generator or Generator(warehouse))
    prompts, fresh = parted(study.prompts, plan.fresh_prompts, asked.max_prompts, asked.max_fresh)
    choice = _Choosing(study, session, prompts, plan).choose(known)
    clock.lap("choosing")
    final = asked.model_copy(
        update={
            "lora": choice.name,
            "lora_weight": choice.weight,
            "first_seed": asked.first_seed + _FRESH_SEEDS,
            "prompts": plan.fresh_prompts or asked.prompts,
        }
    )
    chosen = replace(study, plan=final, prompts=fresh)
    sitting = Sitting(fresh, final.first_seed, final.seeds)
    told = conclude(chosen, session, sitting, clock, choice)
    settings = {**told.settings, "prompts of the choice": told_file(asked.prompts)}
    return told.model_copy(update={"lora": asked.lora, "settings": settings})


class _Choosing:
    """The stages of one choice."""

    def __init__(
        self, study: Study, session: Session, prompts: tuple[EvalPrompt, ...], plan: SelectionPlan
    ) -> None:
        self._study, self._session, self._plan = study, session, plan
        first, seeds = plan.evaluation.first_seed, plan.evaluation.seeds
        self._screening = Sitting(prompts, first, 1)
        self._close = Sitting(prompts, first, seeds)
        self._traits = baselines(study.subject)[1]
        self._base: dict[int, tuple[Features, ArmResult]] = {}

    def choose(self, known: Sequence[Checkpoint]) -> ChoiceRecord:
        """Screen, look closer, choose a step and a weight."""
        arms = [self._arm(one, 1.0) for one in known]
        screened = self._measured(arms, self._screening, drifting=False)
        close = self._finalists(arms, screened)
        taken = close[int(earliest_within(_estimates(close), _passing(close))[0])]
        chosen = next(one for one in known if one.name == taken.arm.lora)
        others = self._weights(chosen)
        nearer = self._closer(others, taken)
        weight = better_weight(
            accepts(taken.result, self._close.seeds),
            {one.arm.weight: accepts(one.result, self._close.seeds) for one in nearer},
            {one.arm.weight: not one.faults for one in nearer},
        )
        closely = {one.arm.name: one for one in (*close, *nearer)}
        return ChoiceRecord(
            name=chosen.name,
            step=chosen.step,
            weight=weight,
            flattering=next(
                one.result.accepted.estimate for one in (*nearer, taken) if one.arm.weight == weight
            ),
            prompts=prompt_records(self._close),
            seeds=self._close.seed_list,
            checkpoints=tuple(
                self._record(one, checkpoint.step, closely.get(one.arm.name))
                for one, checkpoint in zip(screened, known, strict=True)
            ),
            weights=tuple(self._record(one, chosen.step, closely.get(one.arm.name)) for one in others),
        )

    def _finalists(self, arms: Sequence[Arm], screened: Sequence[_Entry]) -> list[_Entry]:
        """Look with all seeds at the best few; where none of them passes, at the next ones until one does."""
        estimates, eligible = _estimates(screened), _passing(screened)
        marks = best_few(estimates, eligible, self._plan.finalists)[0]
        close = self._measured(
            [a for a, on in zip(arms, marks, strict=True) if on], self._close, drifting=True
        )
        rest = [arms[place] for place in in_turn(estimates[0], eligible[0]) if not marks[place]]
        del rest[len(rest) if self._plan.further is None else self._plan.further :]
        while rest and not _passing(close).any():
            logger.info("no finalist passes the gates, so %s is looked at closely as well", rest[0].lora)
            close += self._measured([rest.pop(0)], self._close, drifting=True)
        return sorted(close, key=lambda one: arms.index(one.arm))

    def _weights(self, chosen: Checkpoint) -> list[_Entry]:
        arms = [self._arm(chosen, weight) for weight in sorted(set(self._plan.weights) - {1.0})]
        return self._measured(arms, self._screening, drifting=False) if arms else []

    def _closer(self, others: Sequence[_Entry], plain: _Entry) -> list[_Entry]:
        """Look with all seeds at the weight that does best with one, if it does better than 1 there."""
        first = float(accepts(plain.result, self._close.seeds)[:, 0].mean())
        usable = [one for one in others if not one.faults and one.result.accepted.estimate > first]
        nearest_to_1 = sorted(usable, key=lambda one: abs(one.arm.weight - 1.0))
        best = max(nearest_to_1, key=lambda one: one.result.accepted.estimate, default=None)
        return self._measured([best.arm], self._close, drifting=True) if best else []

    def _measured(self, arms: Sequence[Arm], sitting: Sitting, drifting: bool) -> list[_Entry]:
        base, words = self._baseline(sitting)
        found = []
        seen = self._session.show(arms, sitting)
        for arm in arms:
            result = judge_arm(
                arm, seen[arm.name], base, sitting, self._study.yardstick, self._study.plan.out
            )
            if drifting:
                result = self._with_drift(arm, result, sitting)
            found.append(_Entry(arm, result, faults(gates_of(result, words))))
        return found

    def _baseline(self, sitting: Sitting) -> tuple[Features, ArmResult]:
        """The base told the traits; what it looks like with one seed serves for all."""
        if sitting.seeds not in self._base:
            seen = self._session.show([self._traits], sitting)[self._traits.name]
            told = judge_arm(self._traits, seen, seen, sitting, self._study.yardstick, self._study.plan.out)
            self._base[sitting.seeds] = seen, told
        return self._base[sitting.seeds]

    def _with_drift(self, arm: Arm, result: ArmResult, sitting: Sitting) -> ArmResult:
        alone = Arm("stranger-base", "Base, nobody named", "")
        own = replace(arm, name=f"stranger-{arm.name}", words="")
        told = stranger_measures(self._study, self._session, sitting, (alone, own))
        return result.model_copy(update={"measures": (*result.measures, *told)})

    def _arm(self, one: Checkpoint, weight: float) -> Arm:
        name = f"step-{one.step:08d}" + ("" if weight == 1.0 else f"-weight-{weight:g}")
        return Arm(name, f"Step {one.step:,}", self._study.subject.name, one.name, weight)

    def _record(self, one: _Entry, step: int, closer: _Entry | None) -> CandidateRecord:
        last = closer or one
        seeds = self._close.seeds if closer else 1
        return CandidateRecord(
            name=one.arm.lora,
            step=step,
            weight=one.arm.weight,
            screened=one.result.accepted.estimate,
            measured=closer.result.accepted.estimate if closer else None,
            pictures=last.result.accepted.pictures,
            faults=last.faults,
            files=tuple(picture.file for picture in last.result.pictures[::seeds]),
        )


def _estimates(entries: Sequence[_Entry]) -> np.ndarray:
    return np.array([[one.result.accepted.estimate for one in entries]])


def _passing(entries: Sequence[_Entry]) -> Flags:
    return np.array([[not one.faults for one in entries]])


def _tell_left_out(known: Sequence[Checkpoint], lora: str) -> None:
    """Say how many checkpoints nobody will look at."""
    there = len(list(known[0].file.parent.glob(f"{lora}-step*.safetensors")))
    if there > len(known):
        logger.info(
            "%d of %s's %d checkpoints are looked at, spread evenly: steps %s",
            len(known),
            lora,
            there,
            ", ".join(f"{one.step:,}" for one in known),
        )


def parted(
    prompts: tuple[EvalPrompt, ...], fresh_prompts: Path | None, most: int | None, fresh: int | None = None
) -> tuple[tuple[EvalPrompt, ...], tuple[EvalPrompt, ...]]:
    """Prompts of the choice, and those of the published numbers.

    Args:
        prompts: Those of the choice; without ``fresh_prompts`` those of both, at most ``most``.
        fresh_prompts: File of the others; None: half of ``prompts`` or more are kept for them.
        most: How many prompts of a file are taken; None: all.
        fresh: How many fresh ones at most; None: as many as for the choice. The choice then has what ``most``
            leaves, and of too few prompts half.

    Raises:
        NotMeasurableError: fewer than two on either side, or faults in the file.
        UsageError: the file cannot be read.
    """
    if fresh_prompts is not None:
        known = {prompt.prompt for prompt in prompts}
        others = [one for one in measurable_prompts(fresh_prompts) if one.prompt not in known]
        parts = prompts, tuple(others[: most if fresh is None else fresh])
    else:
        half = (len(prompts) + 1) // 2
        parts = _dealt(prompts, half if most is None or fresh is None else min(half, most - fresh))
    if min(map(len, parts)) < 2:
        raise NotMeasurableError(
            f"{counted(len(parts[0]), 'prompt')} for the choice and {len(parts[1])} fresh for its number",
            "two of each are needed, 40 and 40 are called for: add prompts, or give --fresh-prompts",
        )
    return parts


def _dealt(
    prompts: tuple[EvalPrompt, ...], count: int
) -> tuple[tuple[EvalPrompt, ...], tuple[EvalPrompt, ...]]:
    """So many prompts, evenly spread from the first on, and the others: both are a mix of all groups."""
    first = [place * count % len(prompts) < count for place in range(len(prompts))]
    return (
        tuple(one for one, on in zip(prompts, first, strict=True) if on),
        tuple(one for one, on in zip(prompts, first, strict=True) if not on),
    )
