"""Which checkpoints are looked at with all seeds, and who is taken where gates fail; without any picture."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charaforge.evaluation import selection
from charaforge.evaluation.arms import Arm
from charaforge.evaluation.checkpoints import Checkpoint
from charaforge.evaluation.metrics import corruption
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.results import ArmResult, ChoiceRecord, PictureScore
from charaforge.evaluation.scoring import Sitting
from charaforge.evaluation.selection import SelectionPlan
from charaforge.evaluation.statistics import share
from charaforge.evaluation.subject import Subject

PROMPTS = 20
RATES = {"@100": 0.5, "@200": 1.0, "@300": 0.75, "@400": 0.75}
CLOSELY = RATES | {"@100": 1.0}


class Show:
    """Shows nothing, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def show(self, arms: list[Arm], sitting: Sitting) -> dict[str, None]:
        self.asked += [(arm.lora, sitting.seeds) for arm in arms if arm.lora]
        return {arm.name: None for arm in arms}


def judged(arm: Arm, seen: None, base: None, sitting: Sitting, *_: object) -> ArmResult:
    """As many are accepted as ``RATES`` says of the checkpoint, with all seeds ``CLOSELY``."""
    prompts, seeds = len(sitting.prompts), sitting.seeds
    rates = RATES if seeds == 1 else CLOSELY
    accepted = np.repeat(np.arange(prompts) < prompts * rates.get(arm.lora, 0.0), seeds)
    score: dict[str, Any] = dict.fromkeys(("within", "single", "nearest"), True)
    score |= {"prompt_id": "p", "seed": 1, "file": "f", "likeness": 0.5, "rival": "", "signature": ""}
    score |= {"copy_of_training": False}
    return ArmResult(
        name=arm.name,
        label=arm.lora,
        character_words="",
        accepted=share(accepted.reshape(prompts, seeds)),
        within_alone=0.0,
        signature=None,
        measures=(),
        pictures=tuple(PictureScore(accepted=bool(one), **score) for one in accepted),
    )


def choose(
    monkeypatch: pytest.MonkeyPatch,
    screening: set[int],
    closely: set[int],
    finalists: int,
    further: int | None = None,
) -> tuple[ChoiceRecord, list[str]]:
    """The choice among four where some fail in the screening, or at a closer look; who got that one."""
    monkeypatch.setattr(selection, "judge_arm", judged)
    monkeypatch.setattr(selection, "stranger_measures", lambda *_: ())
    monkeypatch.setattr(selection, "gates_of", lambda result, _: result)

    def faults(result: ArmResult) -> tuple[str, ...]:
        failing = closely | screening if len(result.pictures) > PROMPTS else screening
        return ("drift",) if result.label in {f"@{step}" for step in failing} else ()

    monkeypatch.setattr(selection, "faults", faults)
    monkeypatch.setattr(selection._Choosing, "_arm", lambda _, one, weight: Arm(one.name, "", "", one.name))
    prompts = tuple(
        EvalPrompt(id=f"p{i}", prompt="[character]", expected_tags=(), group="g") for i in range(PROMPTS)
    )
    asked = EvaluationPlan(lora="", model="b", table=Path("t"), prompts=Path("p"), out=Path("o"), seeds=2)
    subject = Subject("zxq", (), "", "", (), ())
    study: Any = SimpleNamespace(subject=subject, plan=asked, yardstick=None)
    show: Any = Show()
    plan = SelectionPlan(evaluation=asked, finalists=finalists, further=further, weights=())
    known = [Checkpoint(name, int(name[1:]), Path(name)) for name in RATES]
    told = selection._Choosing(study, show, prompts, plan).choose(known)
    return told, [name for name, seeds in show.asked if seeds == 2]


@pytest.mark.parametrize(
    ("screening", "closely", "looked", "taken"),
    [
        ((), (), [200, 300], 200),
        ((200,), (), [300, 400], 300),
        ((), (200,), [200, 300], 300),
        ((), (200, 300), [200, 300, 400], 400),
        ((400,), (200, 300), [200, 300, 100], 100),
        ((100, 200, 300), (400,), [400, 200, 300, 100], 100),
        ((), (100, 200, 300, 400), [200, 300, 400, 100], 100),
    ],
)
def test_where_no_finalist_passes_the_next_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
    screening: tuple[int, ...],
    closely: tuple[int, ...],
    looked: list[int],
    taken: int,
) -> None:
    """Of two finalists; step 200 does best, then 300 and 400, then 100, which is as good as 200 closely."""
    choice, names = choose(monkeypatch, set(screening), set(closely), 2)
    assert names == [f"@{step}" for step in looked]
    assert choice.step == taken
    measured = [one.step for one in choice.checkpoints if one.measured is not None]
    assert measured == sorted(looked)
    chosen = next(one for one in choice.checkpoints if one.step == taken)
    assert bool(chosen.faults) == (len({*screening, *closely}) == len(RATES)), "only where all of them fail"


def test_a_budget_may_forbid_it(monkeypatch: pytest.MonkeyPatch) -> None:
    choice, names = choose(monkeypatch, set(), {200, 300}, 2, further=0)
    assert names == ["@200", "@300"]
    assert choice.step == 200


def test_checkpoints_that_nobody_looks_at_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = [Checkpoint(f"a@{step}", step, tmp_path / f"a-step{step}.safetensors") for step in (5, 10, 1500)]
    for one in known:
        one.file.touch()
    with caplog.at_level("INFO", "charaforge"):
        selection._tell_left_out(known, "a")
        selection._tell_left_out(known[::2], "a")
    told = [record.getMessage() for record in caplog.records]
    assert told == ["2 of a's 3 checkpoints are looked at, spread evenly: steps 5, 1,500"]


def test_broken_pictures_are_told_from_real_ones() -> None:
    """As the metric's sentence says: a third of the least contrast, twice the roughest."""
    real: Any = SimpleNamespace(contrast=np.array([60.0, 30.0]), roughness=np.array([4.0, 8.0]))
    made: Any = SimpleNamespace(contrast=np.array([10.0, 10.1, 40.0]), roughness=np.array([5.0, 15.9, 16.0]))
    assert corruption.corrupted(made, corruption.bounds(real)).tolist() == [True, False, True]
    assert "twice the roughest of them" in corruption.METRIC.meaning
    assert "base" not in corruption.METRIC.meaning
