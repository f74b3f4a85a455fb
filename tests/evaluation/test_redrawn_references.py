"""The interval holds for the character, not only for the references that happened to be drawn."""

import pytest

from tests.evaluation.worlds import World, missed

STUDIES = 150


@pytest.mark.parametrize("world", [(0.4, 0.3, 0.8, 0.6), (0.5, 0.3, 0.6, 0.8)])
def test_the_lower_bound_seldom_exceeds_the_truth(world: tuple[float, float, float, float]) -> None:
    assert missed(World(*world), STUDIES).above <= 0.04


def test_references_that_differ_much_are_part_of_the_doubt() -> None:
    found = missed(World(1.0, 0.5, 0.5, 0.6), STUDIES)
    assert found.above <= 0.04
    assert found.blind > 0.15, "as if these references were the only ones"
