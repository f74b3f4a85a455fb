import numpy as np
import pytest

from charaforge.mini.recipes.augment import DAMAGES, Damage, damaged
from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.render import render

PICTURE = render(scene_of("test", 0))


@pytest.mark.parametrize("damage", [d for d, _ in DAMAGES], ids=lambda d: d.__name__)
def test_damage_changes_pixels_but_hardly_colours(damage: Damage) -> None:
    rng = np.random.default_rng(0)
    views = [damage(rng, PICTURE) for _ in range(20)]
    assert all(v.shape == PICTURE.shape and v.dtype == np.uint8 for v in views)
    assert not all(np.array_equal(v, PICTURE) for v in views)
    shift = np.mean([np.abs(v.mean((0, 1)) - PICTURE.mean((0, 1))).max() for v in views])
    assert shift < 8


def test_same_generator_same_view() -> None:
    one, other = (damaged(np.random.default_rng(5), PICTURE) for _ in range(2))
    assert np.array_equal(one, other)


def test_the_original_is_left_alone() -> None:
    before = PICTURE.copy()
    for seed in range(10):
        damaged(np.random.default_rng(seed), PICTURE, clean=0)
    assert np.array_equal(before, PICTURE)
