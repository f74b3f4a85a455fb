import io

import pytest

from charaforge import logs
from charaforge.logs import Progress, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(logs, "time", clock)
    return clock


def test_rate_and_time_left_leave_out_what_was_done_before(clock: Clock) -> None:
    progress = Progress(100, "training", "steps", done=40, stream=io.StringIO())
    clock.now_s += 10
    progress.advance(20, note="loss 0.08")
    assert progress.line() == "training [##############..........] 60/100  2 steps/s, 0:20 left  loss 0.08"


def test_a_file_gets_a_line_every_ten_seconds_only(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(100, "work", stream=stream) as progress:
        for _ in range(25):
            clock.now_s += 1
            progress.advance()
    assert [line.split("  ")[0][-6:] for line in stream.getvalue().splitlines()] == ["10/100", "20/100"]


def test_a_terminal_gets_the_last_state_even_when_interrupted(clock: Clock) -> None:
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress(9, "work", stream=stream) as progress:  # noqa: PT012
        progress.advance(3)
        raise KeyboardInterrupt
    assert "3/9" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_track_counts_numbers_and_sized_things(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(3, "counting")) == [0, 1, 2]
    assert list(track(["a", "b"], "letters")) == ["a", "b"]
    assert capsys.readouterr().err == ""
