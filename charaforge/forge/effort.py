"""How much is spent: training steps, checkpoints and pictures, and which of it fits a budget.

A budget in minutes is turned into these counts once, with a pace that was measured once; both are written
into ``forge.json`` before anything depends on them. Nothing later looks at the clock.
"""

from collections.abc import Sequence

from pydantic import Field

from charaforge.config import StrictModel
from charaforge.errors import UsageError
from charaforge.evaluation.selection import WEIGHTS
from charaforge.logs import get_logger

logger = get_logger(__name__)

USUAL_PROMPTS, CERTIFICATE_PROMPTS = 40, 100
DRIFT_PROMPTS = 10
SHEET_PICTURES = 24
_RESERVE = 1.15
"""Factor on every forecast: a clock that promises must not be late."""


class Pace(StrictModel):
    """How fast this machine is with this base; measured once."""

    step_s: float = Field(gt=0, description="one training step, s")
    picture_s: float = Field(gt=0, description="one picture, rendered and judged, s")
    fixed_s: float = Field(ge=0, description="loading, threshold, reports, s")


class Effort(StrictModel):
    """What is spent on one LoRA."""

    steps: int = Field(ge=1, description="training steps")
    checkpoints: int = Field(ge=1, description="checkpoints, evenly spread")
    finalists: int = Field(ge=1, description="checkpoints that are measured with all seeds")
    weights: tuple[float, ...] = Field(description="weights that are tried beside 1")
    prompts: int = Field(ge=2, description="prompts of the choice")
    fresh: int = Field(ge=2, description="prompts of the published numbers")
    called_for: tuple[int, int] | None = Field(
        None, description="both numbers where the files have fewer prompts; None: they have as many"
    )
    seeds: int = Field(ge=1, description="pictures per prompt")
    drift: int = Field(ge=0, description="prompts rendered without the character")
    posed: bool = Field(False, description="whether the fresh prompts are rendered with poses too")
    sheet: bool = Field(True, description="whether a character sheet is drawn")

    @property
    def save_every(self) -> int:
        """Steps from one checkpoint to the next."""
        return max(1, self.steps // self.checkpoints)

    @property
    def pictures(self) -> int:
        """Pictures that are rendered in all; what two stages share counts once."""
        finalists = min(self.finalists, self.checkpoints)
        screening = self.prompts * (self.checkpoints + 1 + len(self.weights))
        one_weight = 1 if self.weights else 0
        drift = min(self.drift, self.prompts)
        closer = (self.prompts * (self.seeds - 1) + drift) * (finalists + 1 + one_weight)
        published = self.fresh * self.seeds * (4 if self.posed else 3) + 2 * min(self.drift, self.fresh)
        return screening + closer + published + (SHEET_PICTURES if self.sheet else 0)

    def seconds(self, pace: Pace) -> float:
        """How long it takes, with a reserve."""
        return _RESERVE * (self.steps * pace.step_s + self.pictures * pace.picture_s + pace.fixed_s)


_LADDER: Sequence[tuple[float, int, int, tuple[float, ...], int, int]] = (
    (1.0, 8, 3, WEIGHTS, 40, 4),
    (1.0, 6, 3, (0.8, 1.2), 40, 2),
    (1.0, 4, 2, (0.8, 1.2), 40, 2),
    (1.0, 4, 2, (), 40, 1),
    (0.75, 3, 2, (), 40, 1),
    (0.5, 2, 2, (), 20, 1),
)
"""Share of the preset's steps, checkpoints, finalists, weights, prompts, seeds; the first that fits."""


def usual(steps: int, certificate: bool, posed: bool, sheet: bool) -> Effort:
    """What is spent where no budget is given: 40 × 4, or 100 × 4 for a certificate."""
    full = _rung(0, steps, posed, sheet)
    return full.model_copy(update={"fresh": CERTIFICATE_PROMPTS}) if certificate else full


def ladder(steps: int, posed: bool, sheet: bool, certificate: bool = False) -> list[Effort]:
    """What may be spent, from the most to the least.

    Args:
        steps: Training steps of the base's preset.
        posed: Whether poses are measured too.
        sheet: Whether a character sheet is drawn.
        certificate: Whether the numbers come from 100 × 4 pictures, however little else there is time for.
    """
    rungs = [_rung(index, steps, posed, sheet) for index in range(len(_LADDER))]
    if not certificate:
        return rungs
    full = {"prompts": USUAL_PROMPTS, "fresh": CERTIFICATE_PROMPTS, "seeds": rungs[0].seeds}
    return [one.model_copy(update=full) for one in rungs]


def fitting(budget_s: float, rungs: Sequence[Effort], pace: Pace, strict: bool = True) -> Effort:
    """The first of ``rungs`` that a budget in seconds allows at this pace.

    Args:
        budget_s: What may be spent, s.
        rungs: What may be chosen, from the most to the least.
        pace: How fast this machine is.
        strict: Whether a budget in which nothing fits is refused; else the least is taken, with a warning.

    Raises:
        UsageError: not even the least fits.
    """
    for effort in rungs:
        if effort.seconds(pace) <= budget_s:
            return effort
    least = min(effort.seconds(pace) for effort in rungs)
    if not strict:
        logger.warning(
            "not even the least fits into %s here: it takes about %s",
            told_minutes(budget_s),
            told_minutes(least),
        )
        return rungs[-1]
    raise UsageError(
        f"a budget of {told_minutes(budget_s)} is too small: here the least ({rungs[-1].steps} steps, "
        f"{rungs[-1].pictures} pictures) takes about {told_minutes(least)}",
        f"give --budget {int(least // 60) + 1}m or more",
    )


def told_minutes(seconds: float) -> str:
    """90 -> "1 min 30 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def whole_steps(steps: int, checkpoints: int) -> int:
    """Steps, cut so that the last checkpoint is the last step."""
    return max(steps // checkpoints, 1) * checkpoints


def _rung(index: int, steps: int, posed: bool, sheet: bool) -> Effort:
    share, checkpoints, finalists, weights, prompts, seeds = _LADDER[index]
    return Effort(
        steps=whole_steps(round(share * steps), checkpoints),
        checkpoints=checkpoints,
        finalists=finalists,
        weights=weights,
        prompts=prompts,
        fresh=prompts,
        seeds=seeds,
        drift=DRIFT_PROMPTS,
        posed=posed,
        sheet=sheet,
    )
