"""Every recipe of the small nets, two steps long, through to the product's own wrapper."""

import hashlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from charaforge.mini.recipes import bank, decoded, upscaler
from charaforge.mini.recipes.settings import TrainSettings
from charaforge.mini.scenes import all_tags
from charaforge.perception.ccip import IdentityEncoder
from charaforge.perception.judge import SignatureJudge
from charaforge.perception.simcc import PoseEstimator
from charaforge.perception.upscale import Upscaler
from charaforge.perception.wd14 import WD14Tagger

PICTURE = Image.new("RGB", (128, 128), (200, 120, 90))


@pytest.fixture(autouse=True)
def small_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "CHUNK", 24)
    monkeypatch.setattr(upscaler, "_CHUNK", 2)
    torch.set_num_threads(1)


def tags(folder: Path) -> None:
    probabilities, names, _ = WD14Tagger(folder).tag([PICTURE])
    assert list(names) == all_tags()
    assert ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all()
    hair = [
        i for i, name in enumerate(names) if name.endswith(" hair") and name.split()[0] in ("red", "blue")
    ]
    assert len(hair) == 2


def embeds(folder: Path) -> None:
    assert IdentityEncoder(folder).embed([PICTURE]).shape == (1, 128)


def poses(folder: Path) -> None:
    points = PoseEstimator(folder).estimate([PICTURE])
    assert points.shape == (1, 18, 3)
    assert (points[..., 2] <= 1).all()


def upscales(folder: Path) -> None:
    assert Upscaler(folder).upscale([PICTURE])[0].size == (512, 512)
    assert Upscaler(folder).upscale([PICTURE.resize((40, 24))])[0].size == (160, 96)


def judges(folder: Path) -> None:
    scores = SignatureJudge(folder).judge([PICTURE])
    assert (len(scores.kind_names), len(scores.color_names)) == (6, 7)
    assert scores.kinds.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "samples", "kind", "works"),
    [
        ("tagger", 128, "tagger", tags),
        ("identity", 192, "identity", embeds),
        ("pose", 128, "pose", poses),
        ("upscaler", 4, "upscaler", upscales),
        ("judge", 128, "judge", judges),
    ],
)
def test_two_steps_make_a_model_that_its_wrapper_opens(
    tmp_path: Path, name: str, samples: int, kind: str, works: Callable[[Path], None]
) -> None:
    recipe = importlib.import_module(f"charaforge.mini.recipes.{name}")
    figures = recipe.train(TrainSettings(tmp_path / "work", tmp_path / "weights", samples, seed=1))
    (out,) = (tmp_path / "weights").iterdir()
    assert out.name == recipe.NAME
    assert np.isfinite(figures["loss"])
    works(out)
    card = json.loads((out / "card.json").read_text())
    assert (card["kind"], card["license"], card["native_side"]) == (kind, "Apache-2.0", 128)
    for file, digest in card["sha256"].items():
        assert hashlib.sha256((out / file).read_bytes()).hexdigest() == digest


def test_without_a_vae_there_are_no_reconstructions(tmp_path: Path) -> None:
    pictures = bank.Bank(tmp_path / "bank", "base", 24)
    assert decoded.decoded_pictures(tmp_path, "base", pictures, 24) is None
