"""An evaluation as it could have been, with pictures on the disk, for tests of reports and cards."""

from pathlib import Path

import numpy as np
from PIL import Image

from charaforge.evaluation.catalogue import records
from charaforge.evaluation.gates import Gates
from charaforge.evaluation.results import (
    HISTOGRAM_EDGES,
    ArmResult,
    CandidateRecord,
    Ceiling,
    ChoiceRecord,
    Evaluation,
    ImpostorRecord,
    Measure,
    PictureScore,
    PromptRecord,
)
from charaforge.evaluation.statistics import Interval, difference, share
from charaforge.evaluation.threshold import threshold_at

PROMPTS, SEEDS = 5, 3
NAMES = {"trigger": "Base + trigger", "traits": "Base + traits in words", "lora": "LoRA"}


def finding(folder: Path, copies: float = 0.0) -> Evaluation:
    """A LoRA that is always accepted, beside a base that never is; its pictures lie in ``folder``."""
    no, yes = np.zeros((PROMPTS, SEEDS), bool), np.ones((PROMPTS, SEEDS), bool)
    arms = [
        _arm(folder, "trigger", no, "grey"),
        _arm(folder, "traits", no, "orange"),
        _arm(folder, "lora", yes, "teal"),
    ]
    Image.new("RGB", (64, 64), "purple").save(folder / "ref.png")
    impostors = np.random.default_rng(0).normal(0, 0.2, 3000)
    threshold = threshold_at(impostors, "real")
    return Evaluation(
        character="zxq & co",
        traits=("blue hair",),
        signature="aqua wings",
        model="mini-sd",
        model_sha256="cd" * 32,
        lora="zxq",
        lora_weight=1.0,
        lora_sha256="ab" * 32,
        identity_model="mini-identity",
        judge_model="judge",
        judges={"identity": "mini-identity abcd"},
        references=("ref.png",) * 4,
        impostors=(ImpostorRecord(kind="real", pictures=3000, hard=50),),
        gallery=30,
        gallery_hard=10,
        thresholds=(threshold,),
        threshold=threshold,
        impostor_histogram=tuple(np.histogram(impostors, HISTOGRAM_EDGES)[0].tolist()),
        prompts=tuple(PromptRecord(id=f"p{i}", prompt="[character] <b>", group="g") for i in range(PROMPTS)),
        seeds=tuple(range(SEEDS)),
        settings={"sampler": "ddim"},
        metrics=records(),
        arms=tuple(arms),
        ceiling=Ceiling(
            accepted=Interval(1, 0.8, 1), likenesses=(0.9, 0.95), signature=None, area_under_curve=0.99
        ),
        gain=difference(yes, no),
        pose_cost=None,
        leaking_tags={"red <shirt>": 0.25},
        gates=Gates().check(copies=copies, corruption=0.0),
        warnings=("4 references: 20 would be good.",),
        bar=0.3,
        command="charaforge eval --lora zxq",
        environment={"GPU": "none"},
        seconds={"rendering": 61.0},
    )


def with_choice(evaluation: Evaluation) -> Evaluation:
    """The same, chosen among three checkpoints."""
    files = tuple(picture.file for picture in evaluation.arm("lora").pictures[::SEEDS])

    def candidate(step: int, weight: float, screened: float, measured: float | None) -> CandidateRecord:
        return CandidateRecord(
            name=f"zxq@{step}",
            step=step,
            weight=weight,
            screened=screened,
            measured=measured,
            pictures=PROMPTS,
            faults=("copies",) if step == 300 else (),
            files=files,
        )

    choice = ChoiceRecord(
        name="zxq@200",
        step=200,
        weight=0.8,
        flattering=0.97,
        prompts=evaluation.prompts,
        seeds=(1, 2, 3),
        checkpoints=(
            candidate(100, 1, 0.5, None),
            candidate(200, 1, 0.9, 0.97),
            candidate(300, 1, 0.99, 0.99),
        ),
        weights=(candidate(200, 0.8, 0.95, None),),
    )
    return evaluation.model_copy(update={"choice": choice, "lora_weight": 0.8})


def _arm(folder: Path, name: str, accepted: np.ndarray, color: str) -> ArmResult:
    pictures = []
    (folder / name).mkdir()
    for i, yes in enumerate(accepted.ravel()):
        file = f"{name}/{i}.png"
        Image.new("RGB", (64, 48), color).save(folder / file)
        pictures.append(
            PictureScore(
                prompt_id=f"p{i // SEEDS}",
                seed=i % SEEDS,
                file=file,
                likeness=0.9 if yes else 0.1,
                accepted=bool(yes),
                within=bool(yes),
                single=True,
                nearest=True,
                rival="mini 5",
                copy_of_training=False,
                signature="",
            )
        )
    told = share(accepted)
    return ArmResult(
        name=name,
        label=NAMES[name],
        character_words="<zxq>",
        accepted=told,
        within_alone=told.estimate,
        signature=told,
        measures=(
            Measure(name="tag_recall", estimate=0.9, low=0.85, high=0.95),
            Measure(name="pck_t20", estimate=0.8, low=0.7, high=0.9, floor=0.99),
            Measure(name="dinov2_similarity", estimate=None, low=None, high=None, reason="there is none"),
        ),
        pictures=tuple(pictures),
    )
