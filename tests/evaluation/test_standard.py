"""The standard that pictures are held against: what it accepts, and when it refuses to judge."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.impostors import Impostors
from charaforge.evaluation.judges import Judges, signatures
from charaforge.evaluation.standard import set_standard
from charaforge.evaluation.subject import Subject
from charaforge.perception.ccip import IdentityEncoder
from charaforge.perception.judge import SignatureJudge
from tests.fixtures.tiny_judges import tiny_identity, tiny_signature_judge


def pictures(folder: Path, count: int, seed: int, noise: float) -> tuple[Path, ...]:
    """Pictures of one pattern of 4 x 4 colours, each with its own noise (levels)."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    pattern = rng.integers(40, 216, (4, 4, 3))
    pattern[..., 0] += 30
    paths = []
    for i in range(count):
        levels = np.clip(pattern + np.random.default_rng([seed, i]).normal(0, noise, (4, 4, 3)), 0, 255)
        path = folder / f"{i}.png"
        Image.fromarray(levels.astype(np.uint8)).resize((64, 64), Image.Resampling.NEAREST).save(path)
        paths.append(path)
    return tuple(paths)


@pytest.fixture
def judges(tmp_path: Path) -> Judges:
    rng = np.random.default_rng(0)
    strangers = rng.normal(size=(1000, 48))
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    identity = tiny_identity(tmp_path / "identity", strangers.astype(np.float32))
    judge = SignatureJudge(tiny_signature_judge(tmp_path / "judge"))
    pack = Impostors("real", strangers.astype(np.float32), ("",) * 1000, (frozenset(),) * 1000)
    return Judges("tiny", IdentityEncoder(identity), (pack,), "tiny-judge", judge)


def subject(references: tuple[Path, ...], calibration: tuple[Path, ...]) -> Subject:
    return Subject("zxq", ("blue hair",), "", "", references, calibration)


def test_clear_pictures_set_a_standard(tmp_path: Path, judges: Judges) -> None:
    held_out = pictures(tmp_path / "real", 20, 3, noise=8)
    standard = set_standard(judges, subject(held_out[:12], held_out[12:]))
    assert standard.ceiling.accepted.estimate == 1.0
    assert len(standard.ceiling.likenesses) == 20
    assert 0.2 < standard.threshold.value < 0.8
    assert standard.threshold.accepted == 10
    assert sum(standard.histogram) == 1000
    assert standard.signature == "red horns"
    assert standard.ceiling.signature is not None
    assert standard.ceiling.signature.estimate == 1.0


def test_references_of_different_people_are_not_measurable(tmp_path: Path, judges: Judges) -> None:
    mixed = tuple(path for seed in range(12) for path in pictures(tmp_path / str(seed), 1, seed, noise=0))
    with pytest.raises(NotMeasurableError, match="real pictures"):
        set_standard(judges, subject(mixed, ()))


def test_the_second_judge_names_what_it_sees(judges: Judges) -> None:
    shown = [Image.new("RGB", (32, 32), color) for color in ((250, 0, 0), (0, 0, 250))]
    assert signatures(judges, shown) == ["red horns", ""]


def test_a_twin_is_named_and_left_out(tmp_path: Path, judges: Judges) -> None:
    held_out = pictures(tmp_path / "real", 20, 3, noise=8)
    asked = replace(subject(held_out[:12], held_out[12:]), traits=("blue hair", "red eyes"))
    others = pictures(tmp_path / "twin", 25, 3, noise=8)[20:]
    same = judges.encoder.embed([Image.open(path) for path in others])
    (pack,) = judges.impostors
    known = Impostors(
        "real",
        np.concatenate([pack.embeddings, same]),
        (*pack.characters, *["again"] * 5),
        (*pack.traits, *[frozenset({"blue hair", "red eyes"})] * 5),
    )
    standard = set_standard(replace(judges, impostors=(known,)), asked)
    assert standard.twins == ("again",)
    assert standard.threshold.impostors == len(pack)
    assert "again" not in standard.gallery.characters
    assert standard.ceiling.accepted.estimate == 1.0
