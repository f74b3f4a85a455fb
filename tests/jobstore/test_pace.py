"""A rate that is right though pictures come in bursts."""

from __future__ import annotations

import pytest

from charaforge.jobstore.pace import OVER_S, REST_S, Pace, pace_of


def bursts(pace: Pace, every_s: float, over_s: float, minutes: float, start_s: float = 0.0) -> list[float]:
    """Let micro-batches of 8 become files over some seconds each, look twice a second; return the rates."""
    rates, second = [], 0.0
    while second < 60 * minutes:
        whole, into = divmod(second, every_s)
        settled = 8 * (int(whole) - 1) + min(8, 1 + int(into / over_s * 8)) if whole else 0
        pace.see(start_s + second, settled)
        rates.append(pace.rate(start_s + second, []))
        second += 0.5
    return rates


@pytest.mark.parametrize(("every_s", "over_s"), [(300, 10), (75, 3), (40, 1), (8, 2), (2.0, 1.5)])
def test_bursts(every_s: float, over_s: float) -> None:
    rates = bursts(Pace(), every_s, over_s, minutes=40)
    known = [rate for rate in rates if rate]
    assert min(known) > 0.8 * 8 / every_s
    assert max(known) < 1.25 * 8 / every_s
    first = rates.index(known[0]) / 2
    assert first <= 4 * every_s, "two bursts tell it"
    assert all(rates[rates.index(known[0]) :]), "and from then on it is known"


def test_steady_work_is_that_of_the_last_minute() -> None:
    pace = Pace()
    for second in range(300):
        pace.see(float(second), 5 * second)
    assert pace.rate(300.0, []) == pytest.approx(5.0)
    for second in range(300, 300 + 2 * int(OVER_S)):
        pace.see(float(second), 1500 + second - 300)
    assert pace.rate(420.0, []) == pytest.approx(1.0)


def test_a_long_wait_for_the_first_item_is_soon_forgotten() -> None:
    pace = Pace()
    pace.see(0.0, 0)
    rates = {}
    for second in range(40, 160):  # a model is loaded, then an item a second
        pace.see(float(second), second - 39)
        rates[second] = pace.rate(float(second), [])
    assert rates[79] == 0.0
    assert rates[130] == pytest.approx(1.0)


def test_items_that_are_opened_again_begin_it_anew() -> None:
    pace = Pace()
    bursts(pace, 8, 1, minutes=2)
    assert pace.rate(120.0, []) > 0.0
    pace.see(121.0, 3)
    assert pace.rate(121.0, []) == 0.0


def test_rest_and_standstill() -> None:
    pace = Pace()
    bursts(pace, 8, 1, minutes=2)
    assert pace.rate(150.0, []) == pytest.approx(1.0, rel=0.2)
    assert pace.rate(250.0, []) == 0.0
    again = bursts(pace, 8, 1, minutes=10, start_s=120.0 + REST_S)
    assert again[-1] == pytest.approx(1.0, rel=0.2), "an hour without workers is no part of it"


def test_what_shards_tell_counts_until_it_is_known_and_while_something_happens() -> None:
    told = [(100.0, 32), (100.5, 64), (200.0, 96), (200.5, 128), (300.0, 160), (300.5, 192)]
    assert pace_of(told) == pytest.approx(0.64), "two workers end together"
    pace = Pace()
    pace.see(5.0, 192)
    assert pace.rate(6.0, told) == pytest.approx(0.64)
    for later_s in (2 * 100 + 1, 2 * REST_S):
        pace.see(5.0 + later_s, 192)
        assert pace.rate(5.0 + later_s, told) == 0.0
    assert pace_of(told[:1]) == pace_of([]) == 0.0
