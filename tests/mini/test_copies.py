"""Copy detection: the measure itself on a few pictures; the whole of it is slow."""

import random

import numpy as np
import pytest

from charaforge.mini.measure.attacks import ATTACKS, attacked
from charaforge.mini.measure.bars import missed
from charaforge.mini.measure.copies import BARS, HARD, Line, figures, measure, table
from charaforge.mini.render import render
from charaforge.mini.scenes import sample_scene


@pytest.mark.parametrize("name", ATTACKS)
def test_a_transform_changes_the_picture_and_depends_on_chance_alone(name: str) -> None:
    picture = render(sample_scene(random.Random(3)), 128)
    before = picture.copy()
    made = attacked(picture, name, random.Random(1))
    np.testing.assert_array_equal(made, attacked(picture, name, random.Random(1)))
    np.testing.assert_array_equal(picture, before)
    assert made.dtype == np.uint8
    assert made.shape != picture.shape or (made != picture).any()


def test_a_few_pictures_meet_the_bars() -> None:
    lines = measure(16, 128)
    assert [line.name for line in lines] == [*ATTACKS, *HARD]
    assert missed(figures(lines), BARS) == []
    hash_alone = {line.name: line.hash_alone for line in lines}
    assert hash_alone["other expression"] > 0.5, "the closer look has nothing to do"
    assert "| resize | 16 | 1.0000 |" in table(lines)


def test_a_poor_figure_misses_its_bar() -> None:
    lines = [Line(name, 100, 0.0 if name in HARD else 1.0, 1.0, 0.0) for name in (*ATTACKS, *HARD)]
    assert missed(figures(lines), BARS) == []
    lines[0] = Line("resize", 100, 0.97, 1.0, 0.0)
    lines[-1] = Line(HARD[-1], 100, 0.02, 1.0, 0.0)
    assert len(missed(figures(lines), BARS)) == 2


@pytest.mark.slow
def test_two_thousand_pictures_meet_the_bars() -> None:
    lines = measure()
    print(table(lines))  # noqa: T201 the table is the result
    assert missed(figures(lines), BARS) == []
    assert all(line.false <= 0.01 for line in lines)
