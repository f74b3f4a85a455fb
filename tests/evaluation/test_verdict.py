"""The verdict in words: no more is claimed than was measured, no number told as one that it lies below."""

from dataclasses import replace
from pathlib import Path

import pytest

from charaforge.evaluation.apart import UNCHECKED
from charaforge.evaluation.gates import Gates
from charaforge.evaluation.report import write_report
from charaforge.evaluation.results import Evaluation, Measure
from charaforge.evaluation.verdict import verdict
from charaforge.forge.certificate import write_certificate
from charaforge.forge.plan import ForgePlan
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


def unmeasured(found: Evaluation, bar: float = 0.3) -> Evaluation:
    """The same, had nobody known what was trained on."""
    lora = found.arm("lora")
    none = Measure(name="copies", estimate=None, low=None, high=None, reason="no pictures (split train)")
    arms = tuple(
        lora.model_copy(update={"measures": (*lora.measures, none)}) if arm is lora else arm
        for arm in found.arms
    )
    return found.model_copy(update={"gates": Gates().check(corruption=0.0), "arms": arms, "bar": bar})


def texts(found: Evaluation, folder: Path) -> dict[str, str]:
    """Report as a page and as text, and certificate."""
    plan = {"folder": folder, "character": "zxq", "model": "m", "lora": "zxq", "dataset": "d", "out": folder}
    (folder / "p.json").write_text("[]", encoding="utf-8")
    write_report(found, folder)
    asked = ForgePlan.model_validate({**plan, "prompts": folder / "p.json"})
    write_certificate(found, asked, folder / "CERTIFICATE.md")
    names = ("report.html", "report.md", "CERTIFICATE.md")
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


def test_copying_that_was_not_measured_is_told_on_top(tmp_path: Path) -> None:
    found = unmeasured(finding(tmp_path))
    told = verdict(found)
    assert told.passed, "the exit code is another matter"
    assert told.result == "Passed, copying not measured"
    assert (
        "Caution: copying was not measured: no pictures (split train). Passed, copying not" in told.paragraph
    )
    shown = texts(found, tmp_path)
    assert '<span class="badge good">passed, copying not measured</span>' in shown["report.html"]
    assert "**Passed, copying not measured.** " in shown["report.md"]
    assert "| copies | – | 0.05 | not measured |" in shown["report.md"]
    assert "**Passed, copying not measured.** " in shown["CERTIFICATE.md"]
    assert "<td>not measured</td>" in shown["report.html"]


def test_copying_that_was_measured_is_no_caution(tmp_path: Path) -> None:
    found = finding(tmp_path)
    assert verdict(found).result == "Passed"
    assert "Caution" not in verdict(found).paragraph
    failed = verdict(unmeasured(found, bar=0.99))
    assert failed.result == "Not passed"
    assert "Caution: copying was not measured" in failed.paragraph


def test_nothing_is_called_held_out_that_was_not_checked(tmp_path: Path) -> None:
    found = finding(tmp_path)
    checked = texts(found, tmp_path)
    assert "of zxq &amp; co, held out of training" in checked["report.html"]
    assert "4 held-out references." in checked["report.html"]
    assert "| references | 4 held-out pictures |" in checked["CERTIFICATE.md"]
    line = f"{UNCHECKED}, as the LoRA carries no record of it: only t.csv says so."
    unknown = found.model_copy(update={"warnings": (line,)})
    assert f"Caution: {line[0].lower()}{line[1:]} Passed: " in verdict(unknown).paragraph
    shown = texts(unknown, tmp_path)
    assert "of zxq &amp; co, maybe trained on: not checked" in shown["report.html"]
    assert "| references | 4 pictures, maybe trained on |" in shown["CERTIFICATE.md"]
    for text in shown.values():
        assert "held out of training" not in text.replace(line[1:], "")
        assert "held-out references" not in text
