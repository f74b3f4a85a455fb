from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from charaforge.training import randomness
from charaforge.training.batches import draws
from charaforge.training.cache import TensorCache
from charaforge.training.checkpoint import RunState
from charaforge.training.config import TrainingConfig
from charaforge.training.journal import read_events
from charaforge.training.loop import take_step
from charaforge.training.precision import LossScale
from charaforge.training.run import run
from charaforge.training.setup import Setup, build
from charaforge.training.words import variant
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, Prepare, write_picture

Build = Callable[[TrainingConfig], Setup]


@pytest.fixture
def built(prepared: Prepare, tmp_path: Path) -> Build:
    return lambda config: build(prepared(config), TensorCache(tmp_path / "cache"))


def test_the_first_loss_is_that_of_the_base_model_by_the_published_formula(
    make_config: MakeConfig, prepared: Prepare, built: Build
) -> None:
    config = make_config(caption_dropout=0.5, caption_variants=1)
    found = float(take_step(built(config), RunState())[0])

    run = prepared(config)
    bundle = run.base.bundle
    setup = built(config)
    alphas = bundle.schedule.alphas_cumprod.double()
    losses = []
    with torch.no_grad():
        for draw in draws(config, setup.deck, 1000, 0, 1):
            clean = setup.latents[draw.sample].double()
            noise = randomness.noise(tuple(clean.shape), config.seed, "noise", 0, draw.position).double()
            signal, sigma = alphas[draw.timestep].sqrt(), (1 - alphas[draw.timestep]).sqrt()
            text = "" if draw.wordless else variant(config, run.dataset.train[draw.sample], 0)
            ids = bundle.tokenizers[0](
                text, padding="max_length", max_length=77, return_tensors="pt"
            ).input_ids
            context = bundle.text_encoders[0](ids).last_hidden_state
            noisy = (signal * clean + sigma * noise).float()[None]
            output = bundle.unet(noisy, torch.tensor([draw.timestep]), context).sample[0]
            losses.append((output - (signal * noise - sigma * clean)).square().mean())
    assert found == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)


def test_the_first_step_of_adam_moves_each_weight_by_the_learning_rate(
    make_config: MakeConfig, built: Build
) -> None:
    setup = built(make_config(weight_decay=0.0))
    before = [layer.down.detach().clone() for layer in setup.adapter.layers]
    take_step(setup, RunState())
    moved = torch.cat([layer.up.detach().flatten().abs() for layer in setup.adapter.layers])
    assert moved.median().item() == pytest.approx(1e-2, rel=1e-2)
    assert moved.max().item() <= 1e-2 * 1.001
    for layer, old in zip(setup.adapter.layers, before, strict=True):
        assert torch.equal(layer.down, old)  # its gradient is zero while `up` is


def test_gradient_accumulation_is_one_large_batch(
    make_config: MakeConfig, built: Build, pictures: Path
) -> None:
    write_picture(pictures / "3.png", 3)  # with one shape the order of pictures does not depend on the passes
    found = []
    for size, passes in ((4, 1), (2, 2), (1, 4)):
        setup = built(make_config(train_batch_size=size, gradient_accumulation_steps=passes))
        losses = [float(take_step(setup, RunState(step=step))[0]) for step in range(2)]
        found.append((losses, setup.adapter.layers[0].up.detach()))
    for losses, weights in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-5)
        assert torch.allclose(weights, found[0][1], atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{}, {"text_encoder_train": True}, {"conv_rank": 4}, {"mixed_precision": "auto"}]
)
def test_training_lowers_the_loss_on_pictures_it_has_not_seen(
    make_config: MakeConfig, tiny: Warehouse, changes: dict[str, object]
) -> None:
    config = make_config(max_train_steps=16, validate_every_steps=8, **changes)
    result = run(config, tiny)
    losses = [
        e["loss"] for e in read_events(config.output_dir / "events.jsonl") if e["event"] == "validation"
    ]
    assert len(losses) == 3
    assert losses[-1] < 0.96 * losses[0]
    assert result.best_loss == min(losses[1:])


def test_two_runs_write_the_same_file(make_config: MakeConfig, tiny: Warehouse, tmp_path: Path) -> None:
    files = []
    for number in (1, 2):
        config = make_config(output_dir=tmp_path / str(number) / "zxq")
        files.append(run(config, tiny).lora_file.read_bytes())
    assert files[0] == files[1]


def test_an_early_stop_keeps_the_best_weights(
    make_config: MakeConfig, tiny: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([9.0, 5.0, 4.0, 6.0, 7.0])
    monkeypatch.setattr("charaforge.training.validation.Validation.loss", lambda *_: next(told))
    config = make_config(
        max_train_steps=50, validate_every_steps=1, early_stop_patience=2, save_every_steps=2
    )
    result = run(config, tiny)
    assert (result.steps, result.chosen_step, result.ended, result.best_loss) == (4, 2, "early stop", 4.0)
    kept = config.output_dir / "checkpoints" / "out-step00000002.safetensors"
    assert result.lora_file.read_bytes() == kept.read_bytes()
    assert (config.output_dir / "MODEL_CARD.md").read_text(encoding="utf-8").count("step 2") == 2


def test_within_the_tolerance_the_last_weights_are_taken(
    make_config: MakeConfig, tiny: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([9.0, 4.0, 4.3, 4.5, 4.6, 4.35])
    monkeypatch.setattr("charaforge.training.validation.Validation.loss", lambda *_: next(told))
    rules = {"early_stop_patience": 3, "early_stop_tolerance": 0.1}
    result = run(make_config(max_train_steps=5, validate_every_steps=1, **rules), tiny)
    assert (result.steps, result.chosen_step, result.ended, result.best_loss) == (5, 5, "steps", 4.0)


def test_fp16_gradients_are_scaled_and_an_overflow_skips_the_step(
    make_config: MakeConfig, built: Build
) -> None:
    plain, scaled = built(make_config()), built(make_config())
    state = RunState(loss_scale=LossScale(1024.0))
    take_step(plain, RunState())
    take_step(scaled, state)
    assert torch.allclose(scaled.adapter.layers[0].up, plain.adapter.layers[0].up, atol=1e-6)
    before = scaled.adapter.layers[0].up.detach().clone()
    state.loss_scale = LossScale(float("inf"))
    take_step(scaled, state)
    assert torch.equal(scaled.adapter.layers[0].up, before)
    assert state.loss_scale.good_steps == 0


def test_the_loss_scale_grows_after_good_steps_and_halves_at_an_overflow() -> None:
    scale = LossScale.for_dtype(torch.float16)
    assert scale is not None
    for _ in range(LossScale.PATIENCE):
        scale.update(finite=True)
    assert scale.value == 2.0**17
    scale.update(finite=False)
    assert scale.value == 2.0**16
    assert LossScale.for_dtype(torch.bfloat16) is None
