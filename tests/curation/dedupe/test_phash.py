"""Hashes against ImageHash and Pillow, and those of turned pictures against pictures that are turned."""

import random
from collections.abc import Iterator

import imagehash
import numpy as np
import pytest
from PIL import Image

from charaforge.mini.render import render
from charaforge.mini.scenes import sample_scene
from charaforge.perception.phash import TURNS, phash, turned
from charaforge.perception.shrink import Pixels, grey, lanczos, shrink


def pictures() -> Iterator[Pixels]:
    """Yield a thousand pictures: drawings, noise, gradients and plain ones, 1 to 1,600 px a side."""
    rng, chance = np.random.default_rng(4), random.Random(4)
    for number in range(1000):
        width, height = (int(side) for side in rng.integers(1, 400 if number % 50 else 1600, 2))
        if number % 2:
            drawn = Image.fromarray(render(sample_scene(chance), 128))
            yield np.asarray(drawn.resize((width, height), rng.integers(0, 4)))
        elif number % 10 == 0:
            yield np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
        elif number % 10 == 2:
            ramp = np.linspace(0, 255, width).astype(np.uint8)
            yield np.broadcast_to(ramp[None, :, None], (height, width, 3))
        else:
            yield rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_thousand_hashes_are_those_of_imagehash() -> None:
    many = list(pictures())
    theirs = [str(imagehash.phash(Image.fromarray(picture))) for picture in many]
    assert [hashed.text for hashed in phash(many)] == theirs
    assert len(set(theirs)) > 700


@pytest.mark.parametrize(
    ("height", "width"), [(512, 512), (33, 700), (5, 7), (1, 1), (32, 32), (3000, 40), (201, 2)]
)
def test_greys_and_their_reduction_are_those_of_pillow(height: int, width: int) -> None:
    rgb = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rgb[: height // 3] = rgb[: height // 3] // 128 * 255  # hard edges make Lanczos leave 0 to 255
    theirs = Image.fromarray(rgb).convert("L")
    np.testing.assert_array_equal(grey(rgb), np.asarray(theirs))
    reduced = np.asarray(theirs.resize((32, 32), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(shrink(grey(rgb), 32), reduced)


def test_all_greys_are_those_of_pillow() -> None:
    """Every sum of red, green and blue near a step from one grey to the next is met."""
    rgb = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), dtype=np.uint8)
    np.testing.assert_array_equal(grey(rgb), np.asarray(Image.fromarray(rgb).convert("L")))


def test_vast_pictures_are_added_up_exactly() -> None:
    rgb = np.zeros((2, 40_000, 3), np.uint8)
    rgb[:, ::3] = 255
    reduced = Image.fromarray(rgb).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(shrink(grey(rgb), 32), np.asarray(reduced))


def test_weights_add_up_to_one() -> None:
    for size in (7, 32, 100, 2048):
        np.testing.assert_allclose(lanczos(size, 32).sum(axis=1), 2.0**22, rtol=0, atol=size)


@pytest.mark.parametrize("turn", range(len(TURNS)), ids=[name or "upright" for name in TURNS])
def test_the_hash_of_a_turned_picture_comes_from_the_same_numbers(turn: int) -> None:
    chance = random.Random(9)
    many = [render(sample_scene(chance), 128) for _ in range(20)]
    really = phash([np.ascontiguousarray(turned(picture, turn)) for picture in many])
    for before, after in zip(phash(many), really, strict=True):
        # Pillow rounds between rows and columns: frequencies near the median may fall on either side
        assert np.bitwise_count(before.small[turn] ^ after.small[0]) <= 2
        assert np.bitwise_count(before.wide[turn] ^ after.wide[0]).sum() <= 8


def test_turns_are_called_as_in_numpy() -> None:
    picture = np.arange(12).reshape(3, 4)
    expected = {
        "": picture,
        "mirror": np.fliplr(picture),
        "flip": np.flipud(picture),
        "rot180": np.rot90(picture, 2),
        "transpose": picture.T,
        "rot90": np.rot90(picture),
        "rot270": np.rot90(picture, 3),
        "transverse": np.rot90(picture, 2).T,
    }
    for number, name in enumerate(TURNS):
        np.testing.assert_array_equal(turned(picture, number), expected[name])
