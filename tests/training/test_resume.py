from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from charaforge.errors import CharaForgeError, UsageError
from charaforge.training import loop
from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.journal import read_events
from charaforge.training.run import run, set_aside
from charaforge.training.setup import Setup
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, write_picture


class Killed(BaseException):
    """What stands for kill -9: nothing may be saved when it comes."""


def stop_in_step(monkeypatch: pytest.MonkeyPatch, number: int, how: signal.Signals | None) -> None:
    """Let the run be stopped in the middle of a step, once."""
    take_step = loop.take_step

    def stopped(setup: Setup, state: RunState) -> float:
        if state.step + 1 == number:
            monkeypatch.setattr(loop, "take_step", take_step)
            if how is None:
                raise Killed
            os.kill(os.getpid(), how)
        return take_step(setup, state)

    monkeypatch.setattr(loop, "take_step", stopped)


EVERYTHING = {
    "rank": 64,
    "optimizer": "adamw8bit",
    "learning_rate": 1e-3,
    "ema_decay": 0.9,
    "tag_dropout": 0.3,
    "caption_dropout": 0.2,
    "network_dropout": 0.1,
    "flip_aug": True,
    "crop_variants": 2,
    "keep_tokens": 1,
    "noise_offset": 0.05,
}
"""Whatever is drawn or kept from step to step; the pictures have two shapes."""


def losses(config: TrainingConfig) -> list[tuple[str, int, float]]:
    events = read_events(config.output_dir / "events.jsonl")
    return [(e["event"], e["step"], e["loss"]) for e in events if "loss" in e]


@pytest.mark.parametrize("precision", ["no", "auto"])
def test_a_stopped_run_ends_as_if_it_had_never_stopped(
    make_config: MakeConfig, tiny: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    settings = {
        "max_train_steps": 9,
        "validate_every_steps": 2,
        "save_every_steps": 5,
        "mixed_precision": precision,
        **EVERYTHING,
    }
    whole = make_config(output_dir=tmp_path / "whole" / "zxq", **settings)
    torn = make_config(output_dir=tmp_path / "torn" / "zxq", **settings)
    expected = run(whole, tiny)
    stop_in_step(monkeypatch, 3, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(torn, tiny)
    stop_in_step(monkeypatch, 6, None)
    with pytest.raises(Killed):
        run(torn, tiny)
    stop_in_step(monkeypatch, 8, signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(torn, tiny)
    found = run(torn, tiny)
    assert found.lora_file.read_bytes() == expected.lora_file.read_bytes()
    assert losses(torn) == losses(whole)
    assert (found.best_loss, found.chosen_step) == (expected.best_loss, expected.chosen_step)
    assert [e["step"] for e in read_events(torn.output_dir / "events.jsonl") if e["event"] == "resume"] == [
        3,
        5,
        8,
    ]


def test_a_finished_run_is_only_reported(make_config: MakeConfig, tiny: Warehouse) -> None:
    first = run(make_config(), tiny)
    written = first.lora_file.stat().st_mtime_ns
    second = run(make_config(), tiny)
    assert second.lora_file.stat().st_mtime_ns == written
    assert (second.steps, second.chosen_step, second.ended) == (first.steps, first.chosen_step, "steps")


def test_a_lora_that_was_deleted_is_written_again_from_the_state(
    make_config: MakeConfig, tiny: Warehouse
) -> None:
    first = run(make_config(), tiny)
    data = first.lora_file.read_bytes()
    first.lora_file.unlink()
    assert run(make_config(), tiny).lora_file.read_bytes() == data


def test_another_run_in_the_same_folder_is_refused_and_told_why(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path
) -> None:
    run(make_config(), tiny)
    with pytest.raises(UsageError, match=r"rank was 4, is 8.*") as caught:
        run(make_config(rank=8), tiny)
    assert "--fresh" in caught.value.hint
    write_picture(pictures / "0.png", 99)
    with pytest.raises(UsageError, match="pictures was"):
        run(make_config(), tiny)


def test_set_aside_lets_a_run_begin_anew(make_config: MakeConfig, tiny: Warehouse) -> None:
    config = make_config()
    run(config, tiny)
    set_aside(config.output_dir)
    run(make_config(rank=8), tiny)
    set_aside(config.output_dir)
    assert sorted(p.name for p in config.output_dir.glob("state*")) == ["state-1", "state-2"]


def test_a_damaged_state_is_refused_with_a_way_out(make_config: MakeConfig, tiny: Warehouse) -> None:
    config = make_config()
    run(config, tiny)
    (config.output_dir / "out.safetensors").unlink()
    tensors = next((config.output_dir / "state").glob("step*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:100])
    with pytest.raises(CharaForgeError, match="is damaged") as caught:
        run(config, tiny)
    assert "--fresh" in caught.value.hint


def test_a_second_signal_acts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from charaforge.training.interrupt import Interrupt

    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.wished
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
