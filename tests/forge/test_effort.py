"""What a budget buys."""

import pytest

from charaforge.errors import UsageError
from charaforge.forge.effort import Effort, Pace, fitting, ladder, told_minutes, usual, whole_steps

PACE = Pace(step_s=0.1, picture_s=0.2, fixed_s=20)


def budget(seconds: float) -> Effort:
    return fitting(seconds, ladder(400, posed=False, sheet=True), PACE)


def test_more_time_buys_more_and_is_kept() -> None:
    efforts = [budget(seconds) for seconds in (120, 180, 250, 480, 900, 9000)]
    pictures = [one.pictures for one in efforts]
    assert pictures == sorted(pictures)
    assert len(set(pictures)) >= 4
    for effort, seconds in zip(efforts, (120, 180, 250, 480, 900, 9000), strict=True):
        assert effort.seconds(PACE) <= seconds
        assert effort.steps % effort.checkpoints == 0


def test_too_little_says_how_much_is_needed() -> None:
    with pytest.raises(UsageError, match="30 s is too small") as caught:
        budget(30)
    minutes = int(caught.value.hint.removeprefix("give --budget ").partition("m")[0])
    assert budget(60 * minutes).checkpoints == 2


def test_the_least_is_taken_where_the_budget_is_a_wish(caplog: pytest.LogCaptureFixture) -> None:
    rungs = ladder(400, posed=False, sheet=True)
    with caplog.at_level("WARNING", "charaforge"):
        assert fitting(30, rungs, PACE, strict=False) == rungs[-1]
    assert "not even the least fits into 30 s" in caplog.text


def test_the_rule_and_the_certificate() -> None:
    rule = usual(400, certificate=False, posed=False, sheet=False)
    assert (rule.prompts, rule.fresh, rule.seeds, rule.checkpoints, rule.finalists) == (40, 40, 4, 8, 3)
    full = usual(400, certificate=True, posed=False, sheet=False)
    assert (full.prompts, full.fresh, full.seeds) == (40, 100, 4)
    assert full.pictures - rule.pictures == 60 * 4 * 3


def test_a_certificate_is_one_in_any_budget() -> None:
    for effort in ladder(400, posed=False, sheet=True, certificate=True):
        assert (effort.fresh, effort.seeds, effort.prompts) == (100, 4, 40)
    pictures = [one.pictures for one in ladder(400, posed=False, sheet=True, certificate=True)]
    assert pictures == sorted(pictures, reverse=True)


def test_pictures_are_counted_as_they_are_made() -> None:
    asked = Effort(
        steps=8, checkpoints=2, finalists=3, weights=(0.6,), prompts=3, fresh=4, seeds=2, drift=3, sheet=False
    )
    screening, closer, published = 3 * (2 + 1 + 1), (3 * 1 + 3) * (2 + 1 + 1), 4 * 2 * 3 + 2 * 3
    assert asked.pictures == screening + closer + published
    assert asked.model_copy(update={"posed": True}).pictures == asked.pictures + 4 * 2


def test_drift_is_rendered_on_no_more_prompts_than_there_are() -> None:
    few = usual(400, certificate=False, posed=False, sheet=False).model_copy(
        update={"prompts": 6, "fresh": 5}
    )
    full, short = (few.model_copy(update={"drift": drift}).pictures for drift in (10, 0))
    assert full - short == 6 * (3 + 1 + 1) + 2 * 5


def test_words_and_steps() -> None:
    assert told_minutes(90) == "1 min 30 s"
    assert told_minutes(12) == "12 s"
    assert whole_steps(403, 8) == 400
    assert whole_steps(3, 8) == 8
