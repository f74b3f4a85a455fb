"""The verdict in words: a number that is below another one is never told as the same."""

from dataclasses import replace
from pathlib import Path

import pytest

from charaforge.evaluation.verdict import verdict
from tests.evaluation.findings import finding


@pytest.mark.parametrize(
    ("low", "told"),
    [
        (0.71, "71 %, is below the bar of 80 %"),
        (0.797, "79.7 %, is below the bar of 80.0 %"),
        (0.79996, "79.996 %, is below the bar of 80.000 %"),
    ],
)
def test_a_bound_just_below_the_bar_is_not_told_as_the_bar(tmp_path: Path, low: float, told: str) -> None:
    found = finding(tmp_path)
    lora = found.arm("lora")
    lower = lora.model_copy(update={"accepted": replace(lora.accepted, low=low)})
    arms = tuple(lower if arm is lora else arm for arm in found.arms)
    text = verdict(found.model_copy(update={"arms": arms, "bar": 0.8})).paragraph
    assert f"Not passed: the lower bound, {told}" in text.replace("\N{NO-BREAK SPACE}", " ")
