"""Scores the pictures of one arm: likeness, accepted or not, and the signature trait that is seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from charaforge.evaluation.arms import Arm
from charaforge.evaluation.identity import likeness
from charaforge.evaluation.judges import Judges, read_pictures, signatures
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.results import ArmResult, PictureScore
from charaforge.evaluation.standard import Standard
from charaforge.evaluation.statistics import share


def judge_arm(
    arm: Arm,
    files: Sequence[Path],
    ids: Sequence[str],
    plan: EvaluationPlan,
    judges: Judges,
    standard: Standard,
) -> ArmResult:
    """Score the pictures of one arm; ``files`` has prompts in order, seeds within each prompt."""
    pictures = read_pictures(files)
    scores = likeness(judges.encoder.embed(pictures), standard.references)
    accepted = scores >= standard.threshold.value
    seen = signatures(judges, pictures)
    shape = (len(ids), plan.seeds)
    shown = np.array([s == standard.signature for s in seen]).reshape(shape)
    return ArmResult(
        name=arm.name,
        label=arm.label,
        character_words=arm.words,
        accepted=share(accepted.reshape(shape)),
        signature=share(shown) if standard.signature else None,
        pictures=tuple(
            PictureScore(
                prompt_id=ids[i // plan.seeds],
                seed=plan.first_seed + i % plan.seeds,
                file=path.relative_to(plan.out).as_posix(),
                likeness=float(scores[i]),
                accepted=bool(accepted[i]),
                signature=seen[i],
            )
            for i, path in enumerate(files)
        ),
    )


def accepts(arm: ArmResult, seeds: int) -> npt.NDArray[np.bool_]:
    """Accepts of an arm, boolean (prompts, seeds)."""
    return np.array([picture.accepted for picture in arm.pictures]).reshape(-1, seeds)
