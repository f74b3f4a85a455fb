"""From checkpoints to one LoRA, with tiny real models: stopped and gone on, compared, refused."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from charaforge.cli.main import main
from charaforge.diffusion.bundle import load_bundle
from charaforge.evaluation import selection as selection_module
from charaforge.evaluation.arms import Arm
from charaforge.evaluation.comparison import compare
from charaforge.evaluation.pictures import read_pictures
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.protocol import evaluate
from charaforge.evaluation.report.schema import read_report
from charaforge.evaluation.results import ArmResult, Evaluation, Refusal
from charaforge.evaluation.selection import SelectionPlan, select
from charaforge.evaluation.statistics import share
from charaforge.evaluation.subject import load_subject
from charaforge.generation.generator import Generator
from charaforge.mini.characters import Character
from charaforge.mini.dataset import draw_character
from charaforge.mini.render import keypoints
from charaforge.mini.scenes import sample_scene
from charaforge.perception.ccip import IdentityEncoder
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry
from tests.fixtures.tiny_controls import tiny_controlnet
from tests.fixtures.tiny_judges import tiny_identity
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_sd

STEPS = (100, 200, 300)
PROMPTS = Path("docs/prompts/charA_eval_prompts.json").absolute()
FRESH = Path("docs/prompts/charA_fresh_prompts.json").absolute()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, Path]:
    """A warehouse with a tiny base, a LoRA of three checkpoints, and impostors unlike the character."""
    warehouse = Warehouse(tmp_path_factory.mktemp("warehouse"))
    for folder in warehouse.folders:
        folder.mkdir(parents=True, exist_ok=True)
    bundle = load_bundle(tiny_sd(warehouse.sd / "tiny-sd"), "tiny-sd")
    for name in ("zxq", "other"):
        folder = warehouse.lora_folder(name)
        (folder / "checkpoints").mkdir(parents=True)
        for step in STEPS:
            file = folder / "checkpoints" / f"{name}-step{step:08d}.safetensors"
            random_lora(file, bundle, seed=step + len(name), dtype=torch.float16)
        (folder / f"{name}.safetensors").write_bytes(file.read_bytes())
    table = draw_character(Character.from_seed(5), tmp_path_factory.mktemp("set"), 36, warehouse)
    references = load_subject(table, "", warehouse, lambda _: ()).references
    identity = tiny_identity(warehouse.models / "identity" / "tiny", np.zeros((100, 48), np.float32))
    mean = IdentityEncoder(identity).embed(read_pictures(references)).mean(axis=0)
    opposite = -mean + np.random.default_rng(0).normal(0, 0.01, (200, 48))
    tiny_identity(identity, opposite / np.linalg.norm(opposite, axis=1, keepdims=True))
    return warehouse, table


@pytest.fixture(scope="module")
def generator(place: tuple[Warehouse, Path]) -> Generator:
    return Generator(place[0], Registry(place[0]))


def plan(place: tuple[Warehouse, Path], out: Path, **changes: object) -> EvaluationPlan:
    asked = {
        "lora": "zxq",
        "model": "tiny-sd",
        "table": place[1],
        "prompts": PROMPTS,
        "max_prompts": 3,
        "seeds": 2,
        "steps": 2,
        "drift_prompts": 2,
        "out": out,
    }
    return EvaluationPlan.model_validate(asked | changes)


def selection(place: tuple[Warehouse, Path], out: Path) -> SelectionPlan:
    return SelectionPlan(
        evaluation=plan(place, out, max_fresh=4), fresh_prompts=FRESH, finalists=2, weights=(0.5,)
    )


def told(evaluation: Evaluation) -> dict[str, object]:
    return evaluation.model_dump(exclude={"seconds"})


@pytest.fixture(scope="module")
def chosen(
    place: tuple[Warehouse, Path], generator: Generator, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Evaluation, Path]:
    out = tmp_path_factory.mktemp("chosen")
    return select(selection(place, out), place[0], generator), out


def test_the_choice_is_measured_on_other_prompts_and_seeds(chosen: tuple[Evaluation, Path]) -> None:
    evaluation, out = chosen
    choice = evaluation.choice
    assert choice is not None
    assert [one.step for one in choice.checkpoints] == list(STEPS)
    assert [one.measured is not None for one in choice.checkpoints].count(True) == 2, "finalists"
    assert {one.pictures for one in choice.checkpoints if one.measured is not None} == {6}
    assert {one.pictures for one in choice.checkpoints if one.measured is None} == {3}
    assert [one.weight for one in choice.weights] == [0.5]
    assert (len(choice.prompts), len(evaluation.prompts)) == (3, 4)
    assert not {p.id for p in choice.prompts} & {p.id for p in evaluation.prompts}
    assert not set(choice.seeds) & set(evaluation.seeds)
    assert evaluation.lora == "zxq"
    assert evaluation.settings["prompts file"].startswith("charA_fresh_prompts.json sha256 ")
    assert evaluation.settings["prompts of the choice"].startswith("charA_eval_prompts.json sha256 ")
    assert re.fullmatch(
        r"200 real, sha256 of embeddings [0-9a-f]{16}", evaluation.settings["impostors from impostors.npz"]
    )
    assert any("impostors_generated.npz" in line for line in evaluation.warnings)
    assert all((out / picture.file).is_file() for picture in evaluation.arm("lora").pictures)


@pytest.mark.parametrize(("recognised", "taken"), [(1.2, 1.2), (0.5, 0.5), (1.0, 1.0)])
def test_another_weight_is_taken_where_all_seeds_say_that_it_is_better(
    place: tuple[Warehouse, Path],
    generator: Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recognised: float,
    taken: float,
) -> None:
    judge = selection_module.judge_arm

    def judged(arm: Arm, *told: Any) -> ArmResult:
        result = judge(arm, *told)
        yes = arm.weight == recognised
        pictures = tuple(one.model_copy(update={"accepted": yes}) for one in result.pictures)
        accepted = share(np.full((10, len(pictures) // 10), yes))
        return result.model_copy(update={"pictures": pictures, "accepted": accepted})

    monkeypatch.setattr(selection_module, "judge_arm", judged)
    monkeypatch.setattr(selection_module, "faults", lambda _: ())
    asked = SelectionPlan(
        evaluation=plan(place, tmp_path, max_prompts=10),
        fresh_prompts=FRESH,
        finalists=1,
        weights=(0.5, 1.2),
    )
    evaluation = select(asked, place[0], generator)
    choice = evaluation.choice
    assert choice is not None
    assert (choice.weight, evaluation.lora_weight, choice.flattering) == (taken, taken, 1.0)
    looked = {one.weight: (one.screened, one.measured, one.pictures) for one in choice.weights}
    assert set(looked) == {0.5, 1.2}
    for weight, seen in looked.items():
        assert seen == ((1.0, 1.0, 20) if weight == recognised else (0.0, None, 10))


def test_killed_anywhere_it_finds_the_same(
    place: tuple[Warehouse, Path],
    generator: Generator,
    chosen: tuple[Evaluation, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    render, left = Generator.generate_many, [0]

    def stopping(self: Generator, requests: list[object], **how: object) -> Iterator[object]:
        for picture in render(self, requests, **how):  # type: ignore[arg-type]
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            yield picture

    monkeypatch.setattr(Generator, "generate_many", stopping)
    stops, rng = 0, np.random.default_rng(0)
    while True:
        left[0] = int(rng.integers(1, 14))
        try:
            again = select(selection(place, tmp_path), place[0], generator)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 3
    assert told(again) == told(chosen[0])
    for path in chosen[1].rglob("*.png"):
        assert (tmp_path / path.relative_to(chosen[1])).read_bytes() == path.read_bytes()


def test_weight_zero_is_the_base_exactly(
    place: tuple[Warehouse, Path], generator: Generator, tmp_path: Path
) -> None:
    evaluation = evaluate(plan(place, tmp_path, lora_weight=0.0), place[0], generator)
    lora, trigger = evaluation.arm("lora"), evaluation.arm("trigger")
    for one, other in zip(lora.pictures, trigger.pictures, strict=True):
        pixels = [np.asarray(Image.open(tmp_path / p.file)) for p in (one, other)]
        assert (pixels[0] == pixels[1]).all()
    assert [p.likeness for p in lora.pictures] == [p.likeness for p in trigger.pictures]
    full = evaluate(plan(place, tmp_path), place[0], generator)
    assert [p.likeness for p in full.arm("lora").pictures] != [p.likeness for p in trigger.pictures]


def test_two_loras_are_compared_pair_by_pair(
    place: tuple[Warehouse, Path], generator: Generator, tmp_path: Path
) -> None:
    found = compare(plan(place, tmp_path), "other", "zxq", 0.05, place[0], generator)
    assert [p.seed for p in found.a.pictures] == [p.seed for p in found.b.pictures]
    assert sum(line.startswith("other: Nobody could check") for line in found.warnings) == 1
    same = compare(
        plan(place, tmp_path), "zxq@300", Character.from_seed(5).trigger, 0.05, place[0], generator
    )
    assert same.gain.estimate == 0.0
    assert [p.likeness for p in same.a.pictures] == [p.likeness for p in same.b.pictures]


def test_choosing_on_the_command_line(
    place: tuple[Warehouse, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--lora", "zxq", "--prompts", str(PROMPTS), "--max-prompts", "2", "--seeds", "1", "--choose"]
    code = ask(place, monkeypatch, tmp_path, *words, "--drift-prompts", "0", "--certificate")
    assert code in (0, 4)
    record = place[0].lora_folder("zxq") / "chosen.json"
    assert f"chosen: {record}" in capsys.readouterr().out
    told = json.loads(record.read_text(encoding="utf-8"))
    found = read_report(tmp_path / "report.json")
    assert isinstance(found, Evaluation)
    assert found.choice is not None
    assert (told["checkpoint"], told["weight"]) == (found.choice.name, found.choice.weight)
    assert any("100 × 4 are called for" in line for line in found.warnings)
    assert found.arm("lora").measure("drift").reason
    assert ask(place, monkeypatch, tmp_path, "--lora", "zxq@100", "--prompts", str(PROMPTS), "--choose") == 2


def test_comparing_on_the_command_line(
    place: tuple[Warehouse, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(place[0].root))
    fixed = ["--model", "tiny-sd", "--dataset", str(place[1]), "--out", str(tmp_path)]
    fixed += ["--character", Character.from_seed(5).trigger, "--prompts", str(PROMPTS)]
    assert main(["compare", "other@100", "zxq@200", *fixed, "--max-prompts", "2", "--seeds", "1"]) in (0, 4)
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "other@100 minus zxq@200" in text
    assert "charaforge compare other@100 zxq@200" in text
    assert "| table | metadata.csv sha256 " in text
    assert "2 prompts × 1 seed." in text
    told = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert told["gain"]["low"] <= told["gain"]["estimate"] <= told["gain"]["high"]


@pytest.fixture
def posing(place: tuple[Warehouse, Path], tmp_path: Path) -> Iterator[Path]:
    """A pose estimator and a ControlNet for the tiny base while a test runs; a folder with one pose."""
    warehouse = place[0]
    pose, control = warehouse.models / "pose" / "pose18", warehouse.models / "controlnet" / "tiny-pose"
    pose.mkdir()
    model = Registry(warehouse).get("mini-pose", "pose").path / "model.onnx"
    (pose / "model.onnx").write_bytes(model.read_bytes())
    tiny_controlnet(control, load_bundle(warehouse.sd / "tiny-sd", "tiny-sd"), seed=1, uses=("pose",))
    record = {"model_id": "tiny-sd", "dataset_meta": str(place[1])}
    config = warehouse.lora_folder("zxq") / "resolved_config.yaml"
    config.write_text(json.dumps(record | {"character": Character.from_seed(5).trigger}), encoding="utf-8")
    folder = tmp_path / "poses"
    folder.mkdir()
    points = keypoints(replace(sample_scene(random.Random(3)), pose="running", framing="full body"))
    told = {
        "canvas_width": 128,
        "canvas_height": 128,
        "people": [{"pose_keypoints_2d": points.ravel().tolist()}],
    }
    (folder / "running.json").write_text(json.dumps(told), encoding="utf-8")
    yield folder
    config.unlink()
    shutil.rmtree(pose)
    shutil.rmtree(control)


@pytest.mark.launch
def test_the_launcher_measures_likeness_and_pose_together(
    place: tuple[Warehouse, Path], posing: Path, tmp_path: Path, repository: Path
) -> None:
    """The command of the README, but for fewer prompts and seeds."""
    out = tmp_path / "out"
    command = [sys.executable, "train/evaluators/run_eval.py", "--lora", str(place[0].lora_folder("zxq"))]
    command += ["--prompts", "docs/prompts/charA_eval_prompts.json", "--pose_dir", str(posing)]
    command += ["--out", str(out)]
    environment = {**os.environ, "AI_CACHE_ROOT": str(place[0].root)}
    few = ["--max-prompts", "2", "--seeds", "1"]
    done = subprocess.run(
        [*command, *few], cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 3, 4), done.stderr
    found = read_report(out / "report.json")
    if isinstance(found, Refusal):  # noise has no figure: what is real has to pass first
        pytest.fail(found.why)
    posed = found.arm("posed")
    for name in ("pck_t20", "pck_h5_limbs", "oks", "limb_angle"):
        assert posed.measure(name).estimate is not None
        assert posed.measure(name).floor is not None
    assert found.pose_cost is not None
    assert [p.seed for p in posed.pictures] == [p.seed for p in found.arm("lora").pictures]
    pixels = [np.asarray(Image.open(out / found.arm(name).pictures[0].file)) for name in ("lora", "posed")]
    assert (pixels[0] != pixels[1]).any()


def ask(place: tuple[Warehouse, Path], monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> int:
    monkeypatch.setenv("AI_CACHE_ROOT", str(place[0].root))
    fixed = ["--model", "tiny-sd", "--dataset", str(place[1]), "--out", str(out)]
    return main(["eval", *words, *fixed])


def refusal(out: Path) -> Refusal:
    found = read_report(out / "report.json")
    assert isinstance(found, Refusal)
    assert "Not measurable" in (out / "report.html").read_text(encoding="utf-8")
    return found


def test_faulty_prompts_are_not_measurable(
    place: tuple[Warehouse, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prompts = tmp_path / "p.json"
    prompts.write_text(json.dumps([{"id": "a", "prompt": "nobody"}, {"id": "b"}]), encoding="utf-8")
    assert ask(place, monkeypatch, tmp_path / "out", "--lora", "zxq", "--prompts", str(prompts)) == 3
    assert "prompt 1" in refusal(tmp_path / "out").why


def test_no_impostors_are_not_measurable(
    place: tuple[Warehouse, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "nobody").mkdir()
    words = ["--lora", "zxq", "--prompts", str(PROMPTS), "--impostors", str(tmp_path / "nobody")]
    assert ask(place, monkeypatch, tmp_path / "out", *words) == 3
    assert "100 are missing" in refusal(tmp_path / "out").remedy


def test_references_that_the_lora_was_trained_on_prove_nothing(
    place: tuple[Warehouse, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subject = load_subject(place[1], "", place[0], lambda _: ())
    rows = [f"{path},{subject.name},train" for path in subject.references]
    table = tmp_path / "trained.csv"
    table.write_text("\n".join(["image_path,character,split", *rows]), encoding="utf-8")
    config = place[0].lora_folder("other") / "resolved_config.yaml"
    config.write_text(json.dumps({"model_id": "tiny-sd", "dataset_meta": str(table)}), encoding="utf-8")
    try:
        for words in (["eval", "--lora", "other"], ["compare", "zxq", "other", "--character", subject.name]):
            out = tmp_path / words[0]
            fixed = ["--prompts", str(PROMPTS), "--model", "tiny-sd", "--dataset", str(place[1])]
            monkeypatch.setenv("AI_CACHE_ROOT", str(place[0].root))
            assert main([*words, *fixed, "--out", str(out)]) == 3
            (report,) = (*out.glob("report.md"), *out.glob("comparison.md"))
            assert f"{len(rows)} of {len(subject.held_out)} held-out" in report.read_text(encoding="utf-8")
    finally:
        config.unlink()


def test_a_lora_of_another_base_is_not_measurable(
    place: tuple[Warehouse, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    folder = place[0].lora_folder("foreign")
    folder.mkdir(exist_ok=True)
    wrong = {
        "lora_unet_no_such_layer.lora_down.weight": np.ones((2, 4), np.float32),
        "lora_unet_no_such_layer.lora_up.weight": np.ones((4, 2), np.float32),
    }
    save_file(wrong, folder / "foreign.safetensors", {"ss_sd_model_name": "another-base"})
    words = ["--lora", "foreign", "--prompts", str(PROMPTS), "--max-prompts", "2", "--seeds", "1"]
    assert ask(place, monkeypatch, tmp_path / "out", *words) == 3
    assert "another-base" in refusal(tmp_path / "out").why
    assert not list((tmp_path / "out" / "pictures").rglob("*.png")), "told before anything is rendered"
