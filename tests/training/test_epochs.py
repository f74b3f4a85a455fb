"""§5-10 of the research: small sets and buckets. No picture is lost or favoured; passes are of one shape."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from charaforge.training.batches import Card, Deck, epoch_order
from charaforge.training.buckets import Buckets, cut_off, default_step, fit
from charaforge.training.repeats import repeats
from charaforge.training.sources import Record

SHAPES = [(64, 64), (48, 80), (80, 48)]
cards = st.builds(Card, shape=st.sampled_from(SHAPES), repeats=st.integers(1, 4))
sides = st.integers(16, 4000)


@given(st.lists(cards, min_size=1, max_size=30), st.integers(1, 9), st.integers(0, 5), st.integers(0, 2**40))
@settings(max_examples=200, deadline=None)
def test_every_epoch_shows_each_picture_exactly_as_often_as_it_shall(
    made: list[Card], group: int, epoch: int, seed: int
) -> None:
    deck = Deck(tuple(made))
    shown = Counter(epoch_order(seed, deck, group, epoch))
    assert shown == {number: card.repeats for number, card in enumerate(made)}


@given(st.lists(cards, min_size=1, max_size=30), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_few_groups_are_of_several_shapes(made: list[Card], group: int, seed: int) -> None:
    deck = Deck(tuple(made))
    stream = [n for epoch in range(4) for n in epoch_order(seed, deck, group, epoch)]
    groups = [stream[at : at + group] for at in range(0, len(stream) - group + 1, group)]
    mixed = sum(len({made[n].shape for n in one}) > 1 for one in groups)
    shapes = len({card.shape for card in made})
    assert mixed <= 4 * (shapes - 1) + 4 * (shapes > 1) * 2


def test_one_picture_of_a_rare_shape_does_not_break_the_batches_of_the_others() -> None:
    deck = Deck((*[Card((64, 64))] * 20, Card((48, 80))))
    stream = [n for epoch in range(20) for n in epoch_order(0, deck, 4, epoch)]
    groups = [stream[at : at + 4] for at in range(0, len(stream), 4)]
    assert stream.count(20) == 20
    assert sum(len({deck.cards[n].shape for n in one}) > 1 for one in groups) <= 20


def test_epochs_differ_and_one_shape_is_shuffled_alike_for_every_batch_size() -> None:
    deck = Deck((Card((64, 64)),) * 12)
    assert epoch_order(0, deck, 4, 0) != epoch_order(0, deck, 4, 1)
    assert epoch_order(0, deck, 4, 1) == epoch_order(0, deck, 3, 1)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 5))
def test_as_many_regularisation_pictures_are_shown_each_about_equally_often(
    count: int, priors: int, group: int
) -> None:
    deck = Deck((*[Card((64, 64))] * count, *[Card((64, 64), prior=True)] * priors))
    shown: Counter[int] = Counter()
    for epoch in range(6):
        order = epoch_order(3, deck, group, epoch)
        assert sum(n >= count for n in order) == count
        assert sorted(n for n in order if n < count) == list(range(count))
        shown.update(n for n in order if n >= count)
    often = [shown[n] for n in range(count, count + priors)]
    assert max(often) - min(often) <= 1


@given(sides, sides, st.sampled_from([(512, 64), (1024, 64), (128, 16), (768, 32)]))
@settings(max_examples=200)
def test_a_size_is_of_whole_steps_within_area_and_aspect(wide: int, high: int, grid: tuple[int, int]) -> None:
    resolution, step = grid
    width, height = Buckets(resolution, step).of((wide, high))
    assert width % step == height % step == 0
    assert 0.6 * resolution**2 < width * height <= resolution**2
    assert max(width, height) <= 2 * min(width, height)


def test_sizes_are_those_that_models_were_trained_on() -> None:
    assert {(832, 1216), (1024, 1024), (1216, 832)} <= set(Buckets(1024, 64).sizes(1024))
    assert Buckets(512, 64).of((832, 1216)) == (448, 576)
    assert Buckets(512, 64, max_aspect=1.0).of((100, 900)) == (512, 512)
    assert (default_step(1024, 32), default_step(512, 64), default_step(128, 16)) == (64, 64, 16)


def test_small_pictures_are_not_enlarged_where_that_is_not_wanted() -> None:
    plain, kept = Buckets(512, 64), Buckets(512, 64, upscale=False)
    assert plain.of((200, 200)) == (512, 512)
    assert kept.of((200, 200)) == (192, 192)
    assert kept.of((2000, 2000)) == (512, 512)
    assert kept.of((10, 10)) == (64, 64)


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=25), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_at_most_so_many_sizes_are_taken(pictures: list[tuple[int, int]], most: int) -> None:
    found = fit(pictures, Buckets(512, 64), most)
    assert len(found) == len(pictures)
    assert len(set(found)) <= most


def test_the_sizes_that_are_kept_are_those_most_pictures_need() -> None:
    pictures = [(512, 512)] * 9 + [(400, 600)] * 9 + [(512, 480)]
    assert set(fit(pictures, Buckets(512, 64), 2)) == {(512, 512), Buckets(512, 64).of((400, 600))}
    assert cut_off((100, 200), (100, 100)) == 0.5


def test_outfits_are_repeated_until_they_are_shown_about_as_often() -> None:
    outfits = ["hoodie"] * 12 + ["dress"] * 4 + ["armour"] * 5
    records = [Record(Path(f"{n}.png"), "", {"outfit": name}) for n, name in enumerate(outfits)]
    shown: Counter[str] = Counter()
    for name, count in zip(outfits, repeats(records, 1, balance=True), strict=True):
        shown[name] += count
    assert shown == {"hoodie": 12, "dress": 12, "armour": 10}
    assert repeats(records, 3, balance=False) == [3] * 21


def test_repeats_of_folders_and_of_the_configuration_multiply() -> None:
    records = [Record(Path("a/1.png"), "", {}, repeats=4), Record(Path("b/1.png"), "", {})]
    assert repeats(records, 2, balance=False) == [8, 2]
    assert repeats(records, 1, balance=True) == [4, 4]
