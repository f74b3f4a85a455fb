"""The training loop of the small nets: an interrupted run ends exactly where an uninterrupted one does."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from charaforge.mini.recipes.steps import Plan, Trainer


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 1))


def run(checkpoint: Path, stop_after: int | None = None) -> list[Tensor]:
    model = net()
    trainer = Trainer(model, Plan(steps=8, batch=4), checkpoint, seed=3)

    def loss(rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
        if stop_after is not None and trainer.step == stop_after:
            trainer._save()
            raise KeyboardInterrupt
        pictures = torch.from_numpy(rng.normal(size=(4, 1, 4, 4))).to(dtype)
        return (model(pictures).float() - pictures.float().mean((1, 2, 3))[:, None]).square().mean()

    try:
        trainer.fit(loss)
    except KeyboardInterrupt:
        return []
    return [*trainer.weights.master, *model.buffers()]


def test_resuming_gives_the_same_weights(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole.safetensors")
    run(tmp_path / "cut.safetensors", stop_after=3)
    continued = run(tmp_path / "cut.safetensors")
    untrained = list(net().parameters())
    assert all(torch.equal(a, b) for a, b in zip(whole, continued, strict=True))
    assert not torch.allclose(whole[0], untrained[0])


def test_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    first = [t.clone() for t in run(tmp_path / "done.safetensors")]
    assert all(torch.equal(a, b) for a, b in zip(first, run(tmp_path / "done.safetensors"), strict=True))


def test_finished_weights_are_float32_in_eval_mode(tmp_path: Path) -> None:
    trainer = Trainer(net(), Plan(steps=2, batch=4), tmp_path / "x.safetensors", seed=0)
    trainer.fit(lambda rng, dtype: trainer.model(torch.ones(4, 1, 4, 4, dtype=dtype)).float().square().mean())
    fresh = trainer.finished(net())
    assert not fresh.training
    assert all(p.dtype == torch.float32 for p in fresh.parameters())
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), trainer.weights.master, strict=True))
