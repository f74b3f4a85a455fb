"""The closer look: what copies may differ in, and what they may not."""

import random
from dataclasses import replace

import numpy as np
import pytest

from charaforge.curation.dedupe.chance import expected_random_pairs
from charaforge.curation.dedupe.verify import misfits, thumbnail
from charaforge.mini.measure.attacks import attacked
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, sample_scene
from charaforge.perception.phash import TURNS, turned
from charaforge.perception.shrink import Pixels


def difference(one: Pixels, other: Pixels, turn: int = 0) -> float:
    thumbs = (thumbnail(one)[None], thumbnail(other)[None])
    return float(misfits(thumbs[0], np.array([turn], np.uint8), thumbs[1])[0])


@pytest.fixture
def scene() -> Scene:
    return replace(sample_scene(random.Random(11)), expression="smile", clothes="red")


def test_a_picture_is_a_copy_of_itself_held_in_any_way(scene: Scene) -> None:
    picture = render(scene, 128)
    inverse = {"rot90": "rot270", "rot270": "rot90"}
    for number, name in enumerate(TURNS):
        held = np.ascontiguousarray(turned(picture, number))
        back = TURNS.index(inverse.get(name, name))
        assert difference(held, picture, back) < 0.1
        if name:
            assert difference(held, picture) > 1


@pytest.mark.parametrize("name", ["resize", "JPEG q30", "blur", "gamma", "colour shift", "re-encode"])
def test_what_copies_go_through_is_forgiven(scene: Scene, name: str) -> None:
    picture = render(scene, 256)
    rng = random.Random(4)
    assert max(difference(attacked(picture, name, rng), picture) for _ in range(5)) < 1


@pytest.mark.parametrize("change", [{"expression": "angry"}, {"clothes": "blue"}])
def test_a_change_of_one_thing_is_not(scene: Scene, change: dict[str, str]) -> None:
    before, after = render(scene, 256), render(replace(scene, **change), 256)  # type: ignore[arg-type]
    assert difference(before, after) > 1


def test_pairs_do_not_depend_on_their_neighbours(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    other = np.clip(many.astype(int) + rng.integers(-20, 20, many.shape), 0, 255).astype(np.uint8)
    turns = np.zeros(40, np.uint8)
    together = misfits(many, turns, other)
    alone = [misfits(many[i : i + 1], turns[:1], other[i : i + 1])[0] for i in range(40)]
    np.testing.assert_allclose(together, alone, rtol=1e-3)


def test_plain_pictures_are_compared_without_a_fault() -> None:
    white, grey = np.full((2, 64, 64, 3), [[[[255]]], [[[250]]]], np.uint8)
    assert difference(white, grey) < 1
    assert difference(white, np.zeros_like(white)) > 1


def test_tiny_pictures_have_thumbnails_too() -> None:
    assert thumbnail(np.full((1, 3, 3), 9, np.uint8)).tolist() == np.full((32, 32, 3), 9).tolist()


@pytest.mark.parametrize(("count", "radius", "pairs"), [(10**6, 6, 6.8), (10**6, 8, 360), (10**7, 4, 6.7)])
def test_chance_is_counted(count: int, radius: int, pairs: float) -> None:
    assert expected_random_pairs(count, radius) == pytest.approx(pairs, rel=0.03)
    assert expected_random_pairs(count, radius, 8) == pytest.approx(8 * pairs, rel=0.03)
    assert expected_random_pairs(count, radius + 1) == expected_random_pairs(count, radius)


def test_chance_is_as_simulated() -> None:
    """Random halves of 64 bits, all pairs of 3,000, at a radius where there are enough."""
    rng = np.random.default_rng(0)
    order = np.argsort(rng.random((3000, 64)), axis=1)
    bits = np.packbits(order < 32, axis=1).view(np.uint64).ravel()
    close = sum(int((np.bitwise_count(bits[i] ^ bits[i + 1 :]) <= 16).sum()) for i in range(3000))
    assert close == pytest.approx(expected_random_pairs(3000, 16), rel=0.15)
