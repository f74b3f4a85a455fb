"""Negative controls: what must not look like proof does not."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.evaluation.arms import Arm
from charaforge.evaluation.features import Features, look
from charaforge.evaluation.gallery import gallery_of
from charaforge.evaluation.gates import Gates, faults
from charaforge.evaluation.identity import leave_one_out, likeness
from charaforge.evaluation.impostors import Impostors, hard_negatives, read_pack
from charaforge.evaluation.judges import Judges, open_judges
from charaforge.evaluation.metrics import copying, corruption, subjects
from charaforge.evaluation.metrics.consistency import consistency
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.evaluation.scoring import Sitting, Yardstick, embeddings, judge_arm, preferred
from charaforge.evaluation.standard import set_thresholds
from charaforge.evaluation.statistics import share
from charaforge.evaluation.study import yardstick_of
from charaforge.evaluation.subject import Subject, load_subject
from charaforge.evaluation.threshold import strictest
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.mini.render import render
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

CHARACTERS, PICTURES = 200, 5


@pytest.fixture(scope="module")
def packs() -> tuple[Impostors, Impostors]:
    folder = Registry(Warehouse(Path("/nowhere"))).get("mini-identity", "identity").path
    return read_pack(folder / "gallery.npz", "real"), read_pack(folder / "impostors.npz", "real")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, Judges, Yardstick]:
    warehouse = Warehouse(tmp_path_factory.mktemp("warehouse"))
    table = draw_character(Character.from_seed(5), tmp_path_factory.mktemp("set"), 36, warehouse)
    subject = load_subject(table, "", warehouse, lambda _: ())
    registry = Registry(warehouse)
    judges = open_judges(registry, registry.get("mini-sd", "base"), subject, None)
    return subject, judges, yardstick_of(judges, subject)


def test_permuted_labels_prove_nothing(packs: tuple[Impostors, Impostors]) -> None:
    """Pictures of every character are handed in as those of another, none as its own."""
    named, strangers = packs
    own = named.embeddings.reshape(-1, PICTURES, named.embeddings.shape[1])
    traits = [named.traits[i * PICTURES] for i in range(len(own))]
    names = [named.characters[i * PICTURES] for i in range(len(own))]
    chosen = np.random.default_rng(0).permutation(len(own))[:CHARACTERS]
    others = np.roll(chosen, 1)
    assert not (chosen == others).any()
    accepted, within = [], []
    for one, other in zip(chosen, others, strict=True):
        hard = hard_negatives(strangers, sorted(traits[one]))
        scores = {"real": likeness(strangers.embeddings, own[one])}
        threshold = strictest(set_thresholds(scores, hard)).value
        gallery = gallery_of([named], sorted(traits[one]), names[one])
        told = consistency(own[other], own[one], threshold, gallery, np.ones(PICTURES, bool))
        accepted.append(told.accepted)
        within.append(told.within)
    assert share(np.stack(accepted)).high <= 0.03
    alone = share(np.stack(within))
    assert alone.low <= 0.01 <= alone.high, "by threshold alone one in a hundred is let in"
    assert alone.estimate <= 0.02


def test_the_right_labels_are_accepted(packs: tuple[Impostors, Impostors]) -> None:
    named, strangers = packs
    own = named.embeddings.reshape(-1, PICTURES, named.embeddings.shape[1])[:60]
    inside = []
    for one in own:
        threshold = strictest(
            set_thresholds({"real": likeness(strangers.embeddings, one)}, np.zeros(len(strangers), bool))
        )
        inside.append(leave_one_out(one) >= threshold.value)
    assert np.mean(inside) >= 0.95


def test_training_pictures_handed_in_raise_the_alarm(bench: tuple[Subject, Judges, Yardstick]) -> None:
    subject, judges, yardstick = bench
    prompts = tuple(
        EvalPrompt(id=f"p{i}", prompt="1girl, [character]", expected_tags=("1girl",), group="g")
        for i in range(6)
    )

    def judged(files: tuple[Path, ...]) -> tuple[str, ...]:
        seen = look(judges, files)
        sitting = Sitting(prompts, 0, len(files) // len(prompts))
        arm = Arm("lora", "LoRA", subject.name)
        result = judge_arm(arm, seen, seen, sitting, yardstick, files[0].parent)
        assert result.accepted.estimate >= 0.9, "they look like the character, and prove nothing"
        return faults(Gates().check(result.measure("copies").estimate, result.measure("corruption").estimate))

    assert judged(subject.training[:12]) == ("copies",)
    assert judged(subject.references[:12]) == ()


def test_copies_are_found_mirrored_shrunk_and_recompressed(
    tmp_path: Path, bench: tuple[Subject, Judges, Yardstick]
) -> None:
    subject, judges, yardstick = bench
    known = yardstick.known
    altered = []
    for index, path in enumerate(subject.training[:4]):
        with Image.open(path) as opened:
            picture = opened.convert("RGB").resize((96, 96), Image.Resampling.BILINEAR)
        altered.append(tmp_path / f"{index}.jpg")
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(altered[-1], quality=70)
    seen = look(judges, altered)
    assert copying.copies(seen.hashes, embeddings(seen, preferred(seen)), known).all()


def broken(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (128, 128, 3), np.uint8)
    for name, picture in (("flat", Image.new("RGB", (128, 128), "navy")), ("noise", Image.fromarray(noise))):
        picture.save(tmp_path / f"{name}.png")
    return [tmp_path / "flat.png", tmp_path / "noise.png"]


def two_figures(tmp_path: Path) -> Path:
    pair = Image.new("RGB", (128, 128), "white")
    for index, left in enumerate((0, 64)):
        scene = Character.from_seed(index).scene(random.Random(index), framing="full body")
        pair.paste(Image.fromarray(render(scene)).resize((64, 64)), (left, 32))
    pair.save(tmp_path / "pair.png")
    return tmp_path / "pair.png"


def test_broken_pictures_and_pictures_without_one_subject_count_as_nothing(
    tmp_path: Path, bench: tuple[Subject, Judges, Yardstick]
) -> None:
    subject, judges, yardstick = bench
    seen = look(judges, [*broken(tmp_path), two_figures(tmp_path), *subject.references[:3]])
    assert corruption.corrupted(seen, yardstick.limits).tolist() == [True, True, False, False, False, False]
    single = subjects.one_subject(seen, yardstick.standard.clarity)
    assert single.tolist() == [False, False, False, True, True, True]
    assert yardstick.standard.judge(seen).accepted.tolist() == [False] * 3 + [True] * 3


def test_a_detector_has_the_last_word_on_subjects(bench: tuple[Subject, Judges, Yardstick]) -> None:
    subject, judges, _ = bench
    seen: Features = look(judges, subject.references[:3])
    counted = replace(seen, people=np.array([0, 1, 2]))
    assert subjects.one_subject(counted, 0.0).tolist() == [False, True, False]


def test_a_lookalike_is_refused(tmp_path: Path, bench: tuple[Subject, Judges, Yardstick]) -> None:
    _, judges, yardstick = bench
    standard = yardstick.standard
    files = []
    for index in range(4):
        other, rng = Character.from_seed(5).lookalike(index), random.Random(index)
        for count in range(5):
            files.append(tmp_path / f"{index}-{count}.png")
            Image.fromarray(render(other.scene(rng))).save(files[-1])
    assert standard.judge(look(judges, files)).accepted.mean() <= 0.10
