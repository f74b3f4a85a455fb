"""The noise maths agrees with diffusers' own schedulers, and its conversions undo each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.errors import ModelFileError

BASE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
V_ZERO = {**BASE, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
EPS = {**BASE, "prediction_type": "epsilon"}


def unit_noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("config", [V_ZERO, EPS])
def test_noise_and_velocity_equal_diffusers(config: dict[str, Any]) -> None:
    schedule, reference = NoiseSchedule.from_config(config), DDIMScheduler(clip_sample=False, **config)
    clean, noise = unit_noise((4, 8, 8), 1)[None].repeat(3, 1, 1, 1), unit_noise((3, 4, 8, 8), 2)
    steps = torch.tensor([0, 437, 999])
    assert torch.allclose(
        schedule.add_noise(clean, noise, steps), reference.add_noise(clean, noise, steps), atol=1e-6
    )
    if schedule.prediction == "v_prediction":
        assert torch.allclose(
            schedule.target(clean, noise, steps), reference.get_velocity(clean, noise, steps), atol=1e-6
        )


@pytest.mark.parametrize("config", [V_ZERO, EPS])
def test_conversions_give_back_what_went_in(config: dict[str, Any]) -> None:
    schedule = NoiseSchedule.from_config(config)
    clean, noise = unit_noise((2, 4, 8, 8), 1), unit_noise((2, 4, 8, 8), 2)
    steps = torch.tensor([10, 800])
    noisy, target = schedule.add_noise(clean, noise, steps), schedule.target(clean, noise, steps)
    assert torch.allclose(schedule.clean_of(target, noisy, steps), clean, atol=1e-4)
    assert torch.allclose(schedule.noise_of(target, noisy, steps), noise, atol=1e-4)


def test_snr_falls_to_zero_on_the_rescaled_schedule_only() -> None:
    ends = torch.tensor([0, 500, 999])
    rescaled, plain = NoiseSchedule.from_config(V_ZERO).snr(ends), NoiseSchedule.from_config(EPS).snr(ends)
    assert float(rescaled[2]) == 0.0
    assert float(plain[2]) == pytest.approx(0.0047, rel=0.05)  # the well-known leak of SD1.5
    assert float(rescaled[0]) == pytest.approx(float(plain[0]), rel=0.01)
    assert float(rescaled[1]) < float(plain[1])


def test_a_model_that_cannot_be_is_refused() -> None:
    with pytest.raises(ModelFileError, match="rescale_betas_zero_snr"):
        NoiseSchedule.from_config({**V_ZERO, "prediction_type": "epsilon"})
    with pytest.raises(ModelFileError, match="sample"):
        NoiseSchedule.from_config({**BASE, "prediction_type": "sample"})
