"""The report: everything inside one file, and the numbers as they were measured."""

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest
from PIL import Image

from charaforge.evaluation.gates import Gates
from charaforge.evaluation.report import show_sheet, write_refusal, write_report
from charaforge.evaluation.report.schema import current_schema, read_report, report_schema
from charaforge.evaluation.results import Evaluation, Measure, Refusal
from charaforge.evaluation.threshold import Threshold
from charaforge.evaluation.training_trace import Curve, TrainingTrace
from charaforge.evaluation.verdict import counted, points, verdict
from tests.evaluation.findings import finding, with_choice


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    return finding(tmp_path)


def test_the_page_needs_nothing_but_itself(tmp_path: Path, evaluation: Evaluation) -> None:
    trace = TrainingTrace(
        (Curve("training", (1, 2, 3), (0.9, 0.5, 0.4)), Curve("held-out", (1, 3), (1, 0.6))), 3
    )
    page = write_report(evaluation, tmp_path, trace).read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert not re.search(r"https?://|@import|url\(", page)
    assert "chosen: step 3" in page
    assert "1 min 01 s" in page


def test_texts_are_escaped(tmp_path: Path, evaluation: Evaluation) -> None:
    page = write_report(evaluation, tmp_path).read_text(encoding="utf-8")
    assert "zxq &amp; co" in page
    assert "<b>\n" not in page.replace("[character] <b>", "!")
    assert "[character] &lt;b&gt;" in page


def test_json_reads_back_equal(tmp_path: Path, evaluation: Evaluation) -> None:
    write_report(evaluation, tmp_path)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert Evaluation.model_validate_json(text) == evaluation


def test_the_json_follows_its_schema(tmp_path: Path, evaluation: Evaluation) -> None:
    check = jsonschema_rs.Draft202012Validator(report_schema())
    write_report(with_choice(evaluation), tmp_path)
    check.validate(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
    refusal = Refusal(why="5 references", remedy="3 are missing", command="charaforge eval")
    write_refusal(refusal, tmp_path)
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    check.validate(told)
    assert not check.is_valid({**told, "status": "perhaps"})
    assert read_report(tmp_path / "report.json") == refusal


def test_the_schema_is_written_down_as_the_classes_are() -> None:
    assert report_schema() == current_schema(), "run python -m charaforge.evaluation.report.schema"


def test_what_is_not_measurable_has_its_reports(tmp_path: Path) -> None:
    refusal = Refusal(why="5 references & <no> more", remedy="3 are missing", command="charaforge eval")
    page = write_refusal(refusal, tmp_path).read_text(encoding="utf-8")
    assert "5 references &amp; &lt;no&gt; more" in page
    assert "3 are missing" in page
    assert "3 are missing" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_text_says_all_of_it(tmp_path: Path, evaluation: Evaluation) -> None:
    write_report(with_choice(evaluation), tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for words in (
        "| LoRA | 15 | 1.000 |",
        "zxq@200",
        "4 references",
        "| Tag recall |",
        "detector alone 0.990",
    ):
        assert words in text
    assert "DINOv2): there is none" in text
    assert "red <shirt>: +0.250" in text
    assert "| copies | 0.000 | 0.05 | yes |" in text


def test_the_choice_is_shown(tmp_path: Path, evaluation: Evaluation) -> None:
    page = write_report(with_choice(evaluation), tmp_path).read_text(encoding="utf-8")
    assert "How the checkpoint was chosen" in page
    assert page.count('class="ring"') == 3
    plain = write_report(evaluation, tmp_path).read_text(encoding="utf-8")
    assert "How the checkpoint was chosen" not in plain


def test_a_choice_among_checkpoints_that_all_fail_says_so(tmp_path: Path, evaluation: Evaluation) -> None:
    passing = with_choice(evaluation)
    assert passing.choice is not None
    failing = [one.model_copy(update={"faults": ("drift",)}) for one in passing.choice.checkpoints]
    choice = passing.choice.model_copy(update={"checkpoints": tuple(failing)})
    told = {
        "Of those that pass the gates": passing,
        "No checkpoint passes the gates; of all the earliest": passing.model_copy(update={"choice": choice}),
    }
    for words, one in told.items():
        page = write_report(one, tmp_path).read_text(encoding="utf-8")
        assert [other in page for other in told] == [other == words for other in told]


def test_copied_pictures_do_not_pass(tmp_path: Path) -> None:
    copied = finding(tmp_path, copies=0.4)
    assert not copied.passed
    assert "Copying alarm: 40" in verdict(copied).paragraph


def test_a_lora_without_journal_has_no_loss_curve(tmp_path: Path, evaluation: Evaluation) -> None:
    assert "<h2>Training</h2>" not in write_report(evaluation, tmp_path).read_text(encoding="utf-8")


def test_one_is_not_told_as_many(tmp_path: Path, evaluation: Evaluation) -> None:
    single = evaluation.model_copy(update={"seeds": (7,)})
    assert "(5 prompts × 1 seed)" in verdict(single).paragraph
    write_report(single, tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert not re.search(r"\b1 (seeds|prompts|pictures|checkpoints)\b", text)
    assert counted(1, "seed") == "1 seed"
    assert (points(0.01), points(-0.004), points(-0.2)) == ("1 point", "0 points", "\N{MINUS SIGN}20 points")


def test_a_lora_that_takes_over_is_told_on_top_and_passes_all_the_same(evaluation: Evaluation) -> None:
    def taken(share: float) -> str:
        lora = evaluation.arm("lora")
        told = Measure(name="takeover", estimate=share, low=0.0, high=1.0)
        arms = [
            arm.model_copy(update={"measures": (*arm.measures, told)}) if arm is lora else arm
            for arm in evaluation.arms
        ]
        told_of = verdict(evaluation.model_copy(update={"arms": tuple(arms)}))
        assert told_of.passed
        return told_of.paragraph

    assert "Caution: 90\N{NO-BREAK SPACE}% of the pictures in which nobody asked" in taken(0.9)
    assert "Caution" not in taken(0.1)


def test_gates_that_are_not_passed_are_told_on_top(evaluation: Evaluation) -> None:
    gates = Gates().check(copies=0.0, drift=0.97, recall_loss=0.1)
    told = verdict(evaluation.model_copy(update={"gates": gates})).paragraph
    assert "Caution: drift where nobody is named 0.97, above 0.90." in told
    assert "Caution" not in verdict(evaluation).paragraph


def test_the_weighted_threshold_is_told_as_what_it_is(evaluation: Evaluation) -> None:
    hard = Threshold(0.5, "hard", 40, 2, 0.01, 0.2)
    told = verdict(evaluation.model_copy(update={"threshold": hard})).paragraph
    assert "at 1\N{NO-BREAK SPACE}% false accepts, a third of the weight on hard negatives, of whom 5" in told
    assert "at 1\N{NO-BREAK SPACE}% false accepts." in verdict(evaluation).paragraph


def test_a_sheet_is_put_into_the_page_once(tmp_path: Path, evaluation: Evaluation) -> None:
    page, sheet = write_report(evaluation, tmp_path), tmp_path / "sheet.png"
    plain = page.read_text(encoding="utf-8")
    Image.new("RGB", (90, 60), "red").save(sheet)
    show_sheet(page, sheet)
    once = page.read_text(encoding="utf-8")
    show_sheet(page, sheet)
    assert page.read_text(encoding="utf-8") == once
    assert once.count("<h2>Character sheet</h2>") == 1
    assert len(once) - len(plain) > 500
    assert all(s.startswith("data:image/webp;base64,") for s in re.findall(r'src="([^"]*)"', once))


def test_small_pictures_are_enlarged_by_the_upscaler(tmp_path: Path, evaluation: Evaluation) -> None:
    asked: list[tuple[int, int]] = []

    def enlarge(pictures: list[Image.Image]) -> list[Image.Image]:
        asked.extend(picture.size for picture in pictures)
        return [picture.resize((picture.width * 4, picture.height * 4)) for picture in pictures]

    write_report(evaluation, tmp_path, enlarge=enlarge)
    assert set(asked) == {(64, 48), (64, 64)}


def test_the_verdict_says_the_numbers(evaluation: Evaluation) -> None:
    told = verdict(evaluation)
    assert told.passed
    assert "100\N{NO-BREAK SPACE}%" in told.headline
    assert "LoRA minus words: 100 points (" in told.paragraph
    strict = evaluation.model_copy(update={"bar": 0.99})
    assert not verdict(strict).passed
    assert "Not passed" in verdict(strict).paragraph
