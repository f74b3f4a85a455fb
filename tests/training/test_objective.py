"""Noise, timesteps and the loss of a run as its configuration asks for them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.training import randomness
from charaforge.training.conditions import Condition
from charaforge.training.config import TrainingConfig
from charaforge.training.loss.distances import distance, thresholds
from charaforge.training.loss.noises import disturbed, training_noise
from charaforge.training.loss.objective import Objective, plain_losses, timestep_weights
from charaforge.training.loss.timesteps import bent, timestep

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
EPSILON = NoiseSchedule.from_config(SCHEDULE)
VELOCITY = NoiseSchedule.from_config(
    {**SCHEDULE, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
)
SHAPE = (4, 32, 32)
CLEAN = torch.linspace(-2, 3, 4 * 32 * 32).view(SHAPE)


def config(**changes: Any) -> TrainingConfig:
    return TrainingConfig(train_data_dir=Path("a"), output_dir=Path("b"), **changes)


def noise(settings: TrainingConfig, step: int = 0, clean: Tensor = CLEAN) -> Tensor:
    return training_noise(settings, clean, seed=settings.seed, place=(step, 3))


def many(settings: TrainingConfig, count: int = 200) -> Tensor:
    return torch.stack([noise(settings, step) for step in range(count)])


def test_plain_noise_is_that_of_the_place() -> None:
    assert torch.equal(noise(config()), randomness.noise(SHAPE, 0, "noise", 0, 3))
    assert not torch.equal(noise(config()), noise(config(), step=1))
    assert not torch.equal(noise(config()), noise(config(seed=1)))


def test_offset_noise_moves_each_channel_as_a_whole() -> None:
    added = noise(config(noise_offset=0.1)) - noise(config())
    assert torch.allclose(added, added[:, :1, :1].expand(SHAPE), atol=1e-6)
    means = (many(config(noise_offset=0.5)) - many(config()))[:, :, 0, 0]
    assert means.std().item() == pytest.approx(0.5, rel=0.1)
    assert means.mean().item() == pytest.approx(0.0, abs=0.1)


def test_offset_noise_of_adaptive_and_random_strength() -> None:
    plain = noise(config())
    one = (noise(config(noise_offset=0.1)) - plain)[:, 0, 0]
    adaptive = (noise(config(noise_offset=0.1, adaptive_noise_scale=0.2)) - plain)[:, 0, 0]
    expected = one * (0.1 + 0.2 * CLEAN.mean(dim=(1, 2)).abs()) / 0.1
    assert torch.allclose(adaptive, expected, atol=1e-5)
    less = noise(config(noise_offset=0.1, adaptive_noise_scale=-1.0), clean=CLEAN + 9)
    assert torch.allclose(less, plain)
    random = config(noise_offset=0.1, noise_offset_random_strength=True)
    shares = [
        (
            (noise(random, step) - noise(config(), step))
            / (noise(config(noise_offset=0.1), step) - noise(config(), step))
        )
        .median()
        .item()
        for step in range(50)
    ]
    assert 0 <= min(shares) < 0.2 < 0.8 < max(shares) <= 1.01


def test_multires_noise_has_unit_variance_and_slow_parts() -> None:
    settings = config(multires_noise_iterations=6, multires_noise_discount=0.3)
    found, plain = many(settings, 100), many(config(), 100)
    assert torch.allclose(found.std(dim=(1, 2, 3)), torch.ones(100), atol=1e-5)

    def slow(values: Tensor) -> float:
        return torch.nn.functional.avg_pool2d(values, 8).var().item()

    assert slow(plain) == pytest.approx(1 / 64, rel=0.1)
    assert slow(found) > 1.5 * slow(plain)
    assert slow(many(config(multires_noise_iterations=6, multires_noise_discount=0.8), 100)) > slow(found)


def test_perturbed_input_is_noise_that_the_target_does_not_know_of() -> None:
    settings = config(ip_noise_gamma=0.1)
    target = noise(settings)
    shown = disturbed(settings, target, seed=0, place=(0, 3))
    assert torch.equal(target, noise(config()))
    assert (shown - target).std().item() == pytest.approx(0.1, rel=0.05)
    assert disturbed(config(), target, seed=0, place=(0, 3)) is target


def drawn(settings: TrainingConfig, batch: int, steps: int) -> list[int]:
    return [
        timestep(settings, 1000, seed=settings.seed, step=step, position=position, batch=batch)
        for step in range(steps)
        for position in range(batch)
    ]


def test_timesteps_are_stratified_and_cover_what_is_asked() -> None:
    found = drawn(config(), 4, 500)
    assert Counter(t // 250 for t in found) == dict.fromkeys(range(4), 500)
    assert min(found) < 5
    assert max(found) > 995
    part = drawn(config(min_timestep=100, max_timestep=300), 4, 300)
    assert (min(part), max(part)) == (100, 299)
    assert drawn(config(min_timestep=7, max_timestep=8), 4, 3) == [7] * 12


@pytest.mark.parametrize(
    ("changes", "quantile"),
    [
        ({}, lambda u: u),
        ({"timestep_sampling": "sigmoid"}, lambda u: torch.sigmoid(torch.tensor(NormalDist().inv_cdf(u)))),
        (
            {"timestep_sampling": "logit_normal", "logit_mean": 0.5, "logit_std": 1.5},
            lambda u: torch.sigmoid(torch.tensor(NormalDist(0.5, 1.5).inv_cdf(u))),
        ),
        ({"timestep_shift": 3.0}, lambda u: 3 * u / (1 + 2 * u)),
    ],
)
def test_timesteps_follow_the_distribution_that_is_asked_for(changes: dict[str, Any], quantile: Any) -> None:
    settings = config(**changes)
    found = sorted(drawn(settings, 8, 250))
    for u in (0.1, 0.5, 0.9):
        assert bent(settings, u) == pytest.approx(float(quantile(u)), rel=1e-6)
        assert found[int(u * len(found))] / 1000 == pytest.approx(float(quantile(u)), abs=0.02)
    assert (bent(settings, 0.0), bent(settings, 1.0)) == (0.0, 1.0)


class Guess(nn.Module):
    """A UNet that answers half of what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))

    def forward(self, noisy: Tensor, timesteps: Tensor, encoder_hidden_states: Tensor) -> Any:
        return type("Output", (), {"sample": self.weight * noisy})


TIMES = torch.tensor([10, 500, 999])
PLACES = [(4, 0), (4, 1), (4, 2)]
TOLD = Condition(torch.zeros(3, 77, 8))
BATCH = torch.stack([CLEAN, CLEAN / 2, -CLEAN])


def losses(settings: TrainingConfig, schedule: NoiseSchedule, mask: Tensor | None = None) -> Tensor:
    return Objective(settings, schedule).losses(Guess(), BATCH, TIMES, TOLD, PLACES, mask)


@pytest.mark.parametrize("schedule", [EPSILON, VELOCITY], ids=["epsilon", "v"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"min_snr_gamma": 5.0},
        {"debiased_estimation_loss": True},
        {"loss_type": "huber", "huber_schedule": "snr"},
        {"loss_type": "smooth_l1", "huber_schedule": "exponential"},
        {"noise_offset": 0.05},
        {"multires_noise_iterations": 6},
        {"ip_noise_gamma": 0.1},
        {"loss_type": "huber", "min_snr_gamma": 1.0, "ip_noise_gamma": 0.1, "noise_offset": 0.1},
    ],
)
def test_the_loss_is_what_the_settings_say(schedule: NoiseSchedule, changes: dict[str, Any]) -> None:
    settings = config(**changes)
    noises = [training_noise(settings, c, seed=0, place=p) for c, p in zip(BATCH, PLACES, strict=True)]
    shown = [disturbed(settings, n, seed=0, place=p) for n, p in zip(noises, PLACES, strict=True)]
    alphas = schedule.alphas_cumprod[TIMES].view(-1, 1, 1, 1)
    noisy = alphas.sqrt() * BATCH + (1 - alphas).sqrt() * torch.stack(shown)
    target = torch.stack(noises).double()
    if schedule is VELOCITY:
        target = alphas.sqrt() * target - (1 - alphas).sqrt() * BATCH
    c = thresholds(settings.huber_schedule, settings.huber_c, schedule.alphas_cumprod)[TIMES]
    wanted = distance(settings.loss_type, noisy / 2, target, c).mean(dim=(1, 2, 3))
    wanted = wanted * timestep_weights(settings, schedule)[TIMES]
    found = losses(settings, schedule)
    assert torch.allclose(found.double(), wanted, rtol=1e-4)
    assert torch.isfinite(found).all()


def test_pain_5_1_no_setting_gives_nan_in_pure_noise() -> None:
    """Gradients too, at the last timestep of a zero-terminal-SNR schedule."""
    weighted: list[dict[str, Any]] = [
        {"min_snr_gamma": 5.0},
        {"debiased_estimation_loss": True},
        {"scale_v_pred_loss_like_noise_pred": True},
        {"loss_type": "huber"},
    ]
    for changes in weighted:
        unet = Guess()
        objective = Objective(config(**changes), VELOCITY)
        found = objective.losses(unet, BATCH, torch.tensor([999, 999, 999]), TOLD, PLACES)
        found.sum().backward()
        assert torch.isfinite(found).all()
        assert unet.weight.grad is not None
        assert torch.isfinite(unet.weight.grad)


def test_the_loss_of_a_picture_does_not_depend_on_its_neighbours() -> None:
    settings = config(multires_noise_iterations=4, ip_noise_gamma=0.1, min_snr_gamma=5.0)
    objective, together = Objective(settings, VELOCITY), losses(settings, VELOCITY)
    one = Condition(TOLD.states[:1])
    alone = [
        objective.losses(Guess(), BATCH[n : n + 1], TIMES[n : n + 1], one, PLACES[n : n + 1])
        for n in range(3)
    ]
    assert torch.allclose(torch.cat(alone), together, rtol=1e-5)


def test_masks_act_in_the_loss() -> None:
    mask = torch.zeros(3, 1, 32, 32)
    mask[:, :, :8] = 1.0
    masked = config(alpha_mask=True, unmasked_weight=0.0)
    whole, part = losses(config(), EPSILON), losses(masked, EPSILON, mask)
    rest = losses(masked, EPSILON, 1 - mask)
    assert torch.allclose(part + rest, whole, rtol=1e-5)
    area = config(alpha_mask=True, unmasked_weight=0.0, normalize_masked_area=True)
    large = losses(area, EPSILON, mask)
    assert torch.allclose(large, part * 4, rtol=1e-5)


def test_validation_is_plain_whatever_is_trained() -> None:
    noises = torch.stack(
        [training_noise(config(), c, seed=0, place=p) for c, p in zip(BATCH, PLACES, strict=True)]
    )
    plain = plain_losses(Guess(), EPSILON, BATCH, noises, TIMES, TOLD)
    assert torch.allclose(plain, losses(config(), EPSILON), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"min_snr_gamma": 5, "debiased_estimation_loss": True}, "twice"),
        ({"min_snr_gamma": 5, "scale_v_pred_loss_like_noise_pred": True}, "twice"),
        ({"prediction_type": "epsilon", "zero_terminal_snr": True}, "contradict"),
        ({"prediction_type": "epsilon", "scale_v_pred_loss_like_noise_pred": True}, "v-prediction"),
        ({"noise_offset": 0.1, "multires_noise_iterations": 6}, "give one of them"),
        ({"adaptive_noise_scale": 0.1}, "without noise_offset"),
        ({"noise_offset_random_strength": True}, "without noise_offset"),
        ({"ip_noise_gamma_random_strength": True}, "without ip_noise_gamma"),
        ({"min_timestep": 500, "max_timestep": 500}, "leave no timestep"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        config(**changes)
