"""A spoiled step: the run goes back, leaves its batch out for good, and stops when it happens too often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from charaforge.errors import CharaForgeError
from charaforge.training.batches import draws
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState, StateFolder
from charaforge.training.config import TrainingConfig
from charaforge.training.export import Exporter
from charaforge.training.guard import Measured, first_bad
from charaforge.training.journal import Journal, read_events
from charaforge.training.keeping import Keeper
from charaforge.training.loop import train
from charaforge.training.setup import Setup, build
from tests.training.conftest import MakeConfig, Prepare


class Course:
    """A run whose pictures can be poisoned."""

    def __init__(self, config: TrainingConfig, prepare: Prepare, cache: Path) -> None:
        prepared = prepare(config)
        config.output_dir.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.setup = build(prepared, TensorCache(cache))
        self.states = StateFolder(config.output_dir / "state", {})
        journal, exporter = Journal(self.journal), Exporter(config.output_dir, prepared)
        self.keeper = Keeper(self.setup, self.states, journal, exporter)

    @property
    def journal(self) -> Path:
        return self.config.output_dir / "events.jsonl"

    def poison(self, picture: int, factor: float) -> list[int]:
        """Spoil the latents of a picture; return the steps, 0 for the first, in which it is drawn."""
        self.setup.latents[picture].mul_(factor)
        return [n for n in range(self.config.max_train_steps) if picture in self.drawn(n)]

    def drawn(self, step: int) -> list[int]:
        return [draw.sample for draw in draws(self.config, self.setup.deck, 1000, step, 1)]

    def run(self, state: RunState | None = None) -> RunState:
        start = state or self.states.restore(self.setup.adapter, self.setup.optimizer)
        return train(self.setup, start, self.keeper)


@pytest.fixture
def course(make_config: MakeConfig, prepared: Prepare, tmp_path: Path) -> Callable[..., Course]:
    def make(name: str, **changes: object) -> Course:
        settings = {"train_batch_size": 2, "max_train_steps": 8, "validate_every_steps": 2, **changes}
        return Course(make_config(output_dir=tmp_path / name, **settings), prepared, tmp_path / "cache")

    return make


def weights(setup: Setup) -> torch.Tensor:
    return torch.cat([value.flatten() for value in setup.adapter.state().values()])


@pytest.mark.parametrize(("factor", "why"), [(float("nan"), "is not finite"), (1e30, "is not finite")])
@pytest.mark.parametrize("every", [1, 3])
def test_a_spoiled_batch_is_undone_and_left_out_for_good(
    course: Callable[..., Course], factor: float, why: str, every: int
) -> None:
    run = course("run", max_rollbacks=9, log_every_steps=every)
    bad = run.poison(3, factor)
    assert 1 <= len(bad) < 8
    state = run.run()
    assert (state.step, state.ended, state.skipped, state.rollbacks) == (8, "steps", bad, len(bad))
    assert bool(weights(run.setup).isfinite().all())
    told = [e for e in read_events(run.journal) if e["event"] == "rollback"]
    assert [e["bad_step"] - 1 for e in told] == bad
    assert all(why in e["why"] for e in told)

    clean = course("clean", log_every_steps=every)
    clean.poison(3, factor)
    clean.run(RunState(skipped=bad))
    assert torch.equal(weights(clean.setup), weights(run.setup))  # as if the batches had never been


def test_the_skip_list_survives_a_kill(course: Callable[..., Course]) -> None:
    run = course("run", max_rollbacks=1)
    bad = run.poison(3, float("nan"))
    with pytest.raises(CharaForgeError):
        run.run()
    again = course("run", max_rollbacks=9)
    again.poison(3, float("nan"))
    state = again.states.restore(again.setup.adapter, again.setup.optimizer)
    assert (state.skipped, state.rollbacks) == (bad[:1], 1)
    assert again.run(state).skipped == bad


def test_after_three_rollbacks_the_run_stops_and_no_picture_is_blamed(course: Callable[..., Course]) -> None:
    """§5-6: peers name the picture as guilty of a NaN."""
    run = course("run", max_train_steps=40, validate_every_steps=50, learning_rate=1e-2)
    run.poison(3, float("nan"))
    with pytest.raises(CharaForgeError, match="go back 3 times; no picture is at fault") as caught:
        run.run()
    assert "lower learning_rate (it is 0.01)" in caught.value.hint
    assert "--fresh" in caught.value.hint


def test_a_jump_of_the_loss_counts_only_once_the_mean_can_be_trusted() -> None:
    def found(step: int, loss: float, factor: float = 20.0) -> Measured | None:
        return first_bad([Measured(step, loss, 1.0)], RunState(mean_loss=0.1), factor)

    assert found(21, 2.1) is not None
    assert found(21, 1.9) is None
    assert found(20, 2.1) is None
    assert found(21, 2.1, factor=0.0) is None
    assert found(1, float("nan"), factor=0.0) is not None


def test_losses_before_the_bad_step_enter_the_mean_and_those_after_do_not() -> None:
    state = RunState()
    bad = first_bad([Measured(1, 1.0, 1.0), Measured(2, float("inf"), 1.0), Measured(3, 9.0, 1.0)], state, 20)
    assert bad is not None
    assert (bad.step, state.mean_loss) == (2, 1.0)


def test_losses_are_read_from_the_device_only_every_few_steps(
    course: Callable[..., Course], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    plain = torch.Tensor.tolist
    run = course("run", max_train_steps=7, log_every_steps=5, validate_every_steps=100)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: read.append(self.numel()) or plain(self))
    run.run()
    assert [count for count in read if count in (10, 4)] == [10, 4]
    steps = [e["step"] for e in read_events(run.journal) if e["event"] == "step"]
    assert steps == list(range(1, 8))
