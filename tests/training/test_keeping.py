"""What a run keeps: the newest checkpoints, curves, and its last good state when the disk is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from charaforge.errors import CharaForgeError, UsageError
from charaforge.training.curves import check_curves
from charaforge.training.run import run
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write files larger than `size` bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_the_state_before_is_gone_on_with(
    make_config: MakeConfig, tiny: Warehouse, tmp_path: Path
) -> None:
    settings = {"max_train_steps": 6, "validate_every_steps": 2, "tensorboard": False, "rank": 64}
    whole = run(make_config(output_dir=tmp_path / "whole" / "zxq", **settings), tiny)
    torn = make_config(output_dir=tmp_path / "torn" / "zxq", **settings)
    with (
        pytest.raises(CharaForgeError, match=r"cannot be written to .*state") as caught,
        largest_file(500_000),
    ):
        run(torn, tiny)
    assert "make room" in caught.value.hint
    assert "the last saved state is intact" in caught.value.hint
    assert not list((torn.output_dir / "state").glob(".*"))  # nothing half written stays
    assert run(torn, tiny).lora_file.read_bytes() == whole.lora_file.read_bytes()


def test_only_the_newest_checkpoints_stay(make_config: MakeConfig, tiny: Warehouse) -> None:
    config = make_config(max_train_steps=5, save_every_steps=1, keep_last=2)
    run(config, tiny)
    names = sorted(file.name for file in (config.output_dir / "checkpoints").iterdir())
    assert names == ["out-step00000004.safetensors", "out-step00000005.safetensors"]


def test_curves_are_drawn_where_tensorboard_is_installed(make_config: MakeConfig, tiny: Warehouse) -> None:
    config = make_config(max_train_steps=2)
    run(config, tiny)
    (file,) = (config.output_dir / "logs").glob("events.out.tfevents.*")
    assert b"loss/held_out" in file.read_bytes()
    assert b"loss/train" in file.read_bytes()


def test_weights_and_biases_must_be_installed_where_they_are_asked_for(make_config: MakeConfig) -> None:
    with pytest.raises(UsageError, match="needs the package wandb"):
        check_curves(make_config(wandb_project="x"))
