"""The small nets as they are shipped: whole files, and right about a few pictures they never saw."""

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.mini import world
from charaforge.mini.attributes import agreement, decide
from charaforge.mini.characters import Character
from charaforge.mini.measure.bars import missed
from charaforge.mini.measure.small_nets import MODULES, bars_of, measure
from charaforge.mini.measure.upscaler import psnr
from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.recipes.upscaler import box_average
from charaforge.mini.render import keypoints, render
from charaforge.perception.ccip import IdentityEncoder
from charaforge.perception.judge import SignatureJudge
from charaforge.perception.simcc import PoseEstimator
from charaforge.perception.upscale import Upscaler
from charaforge.perception.wd14 import WD14Tagger

WEIGHTS = Path(world.__file__).parent / "weights"
SCENES = [scene_of("test", i) for i in range(24)]
PICTURES = [Image.fromarray(render(s)) for s in SCENES]


def drawn(character: Character, count: int) -> list[Image.Image]:
    rng = random.Random(f"shipped {character.seed}")
    return [Image.fromarray(render(character.scene(rng))) for _ in range(count)]


@pytest.mark.parametrize("name", MODULES)
def test_files_are_those_of_the_card(name: str) -> None:
    card = json.loads((WEIGHTS / name / "card.json").read_text())
    assert card["name"] == name
    assert card["world_version"] == world.WORLD_VERSION
    assert not missed(card["measured"], bars_of(name))
    for file, digest in card["sha256"].items():
        assert hashlib.sha256((WEIGHTS / name / file).read_bytes()).hexdigest() == digest


def test_all_small_nets_together_stay_below_4_mb() -> None:
    sizes = [file.stat().st_size for name in MODULES for file in (WEIGHTS / name).glob("*.onnx")]
    assert len(sizes) == len(MODULES)
    assert sum(sizes) < 4_000_000


def test_tagger_reads_attributes() -> None:
    scores = WD14Tagger(WEIGHTS / "mini-tagger").tag(PICTURES)
    shares = agreement(SCENES, decide(scores.probabilities, scores.names))
    assert min(shares.values()) >= 0.9
    assert np.median(scores.probabilities) < 0.1


def test_identity_tells_lookalikes_from_the_character() -> None:
    encoder = IdentityEncoder(WEIGHTS / "mini-identity")
    assert encoder.threshold is not None
    cosine = 1 - 2 * encoder.threshold
    for seed in (41, 42, 43):
        character = Character.from_seed(seed)
        references = encoder.embed(drawn(character, 8))
        rng = random.Random(seed)
        own = encoder.embed([Image.fromarray(render(character.scene(rng))) for _ in range(8)])
        other = encoder.embed(drawn(character.lookalike(), 8))
        assert (np.median(own @ references.T, 1) >= cosine).mean() >= 0.75
        assert (np.median(other @ references.T, 1) >= cosine).mean() <= 0.25


def test_judge_names_signatures_and_their_absence() -> None:
    judge = SignatureJudge(WEIGHTS / "mini-signature-judge")
    assert [kind for kind, _ in judge.judge(PICTURES).decided()].count("none") >= 22
    characters = [Character.from_seed(s) for s in range(60, 80)]
    decided = judge.judge([drawn(c, 1)[0] for c in characters]).decided()
    truth = [(c.signature.kind, c.signature.color) for c in characters if c.signature]
    assert sum(a == b for a, b in zip(decided, truth, strict=True)) >= 18


def test_pose_finds_elbows_and_knees() -> None:
    found = PoseEstimator(WEIGHTS / "mini-pose").estimate(PICTURES)
    truth = np.stack([keypoints(s) for s in SCENES])
    distance = np.linalg.norm(found[..., :2] - truth[..., :2], axis=2)[truth[..., 2] > 0]
    assert (distance <= 6).mean() >= 0.9


def test_upscaler_beats_lanczos() -> None:
    large = render(SCENES[0], 512)
    small = Image.fromarray(box_average(large))
    (ours,) = Upscaler(WEIGHTS / "mini-upscaler").upscale([small])
    lanczos = small.resize((512, 512), Image.Resampling.LANCZOS)
    assert psnr(np.asarray(ours), large) > psnr(np.asarray(lanczos), large) + 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_bars(name: str, tmp_path: Path) -> None:
    figures = measure(name, WEIGHTS / name, tmp_path, WEIGHTS / "mini-sd" / "vae")
    assert missed(figures, bars_of(name)) == []
