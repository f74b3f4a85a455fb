"""The report: everything inside one file, and the numbers as they were measured."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.evaluation.report import write_report
from charaforge.evaluation.results import (
    HISTOGRAM_EDGES,
    ArmResult,
    Ceiling,
    Evaluation,
    PictureScore,
    PromptRecord,
)
from charaforge.evaluation.statistics import Interval, difference, share
from charaforge.evaluation.threshold import threshold_at
from charaforge.evaluation.training_trace import Curve, TrainingTrace
from charaforge.evaluation.verdict import verdict

PROMPTS, SEEDS = 5, 3
NAMES = {"trigger": "Base + trigger", "traits": "Base + traits in words", "lora": "LoRA"}


def arm(folder: Path, name: str, accepted: np.ndarray, color: str) -> ArmResult:
    pictures = []
    (folder / name).mkdir()
    for i, yes in enumerate(accepted.ravel()):
        file = f"{name}/{i}.png"
        Image.new("RGB", (64, 48), color).save(folder / file)
        prompt, seed = f"p{i // SEEDS}", i % SEEDS
        likeness = 0.9 if yes else 0.1
        score = PictureScore(
            prompt_id=prompt, seed=seed, file=file, likeness=likeness, accepted=bool(yes), signature=""
        )
        pictures.append(score)
    told = share(accepted)
    return ArmResult(
        name=name,
        label=NAMES[name],
        character_words="<zxq>",
        accepted=told,
        signature=told,
        pictures=tuple(pictures),
    )


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    no, yes = np.zeros((PROMPTS, SEEDS), bool), np.ones((PROMPTS, SEEDS), bool)
    arms = [
        arm(tmp_path, "trigger", no, "grey"),
        arm(tmp_path, "traits", no, "orange"),
        arm(tmp_path, "lora", yes, "teal"),
    ]
    Image.new("RGB", (64, 64), "purple").save(tmp_path / "ref.png")
    impostors = np.random.default_rng(0).normal(0, 0.2, 3000)
    threshold = threshold_at(impostors, "real")
    return Evaluation(
        character="zxq & co",
        traits=("blue hair",),
        signature="aqua wings",
        model="mini-sd",
        lora="zxq",
        lora_sha256="ab" * 32,
        identity_model="mini-identity",
        judge_model="judge",
        references=("ref.png",) * 4,
        thresholds=(threshold,),
        threshold=threshold,
        impostor_histogram=tuple(np.histogram(impostors, HISTOGRAM_EDGES)[0].tolist()),
        prompts=tuple(PromptRecord(id=f"p{i}", prompt="[character] <b>", group="g") for i in range(PROMPTS)),
        seeds=tuple(range(SEEDS)),
        arms=tuple(arms),
        ceiling=Ceiling(accepted=Interval(1, 0.8, 1), likenesses=(0.9, 0.95), signature=None),
        gain=difference(yes, no),
        bar=0.3,
        command="charaforge eval --lora zxq",
        environment={"GPU": "none"},
        seconds={"rendering": 61.0},
    )


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


def test_a_lora_without_journal_has_no_loss_curve(tmp_path: Path, evaluation: Evaluation) -> None:
    assert "<h2>Training</h2>" not in write_report(evaluation, tmp_path).read_text(encoding="utf-8")


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
    assert "at least" in told.paragraph
    strict = evaluation.model_copy(update={"bar": 0.99})
    assert not verdict(strict).passed
    assert "Not passed" in verdict(strict).paragraph
