"""Every sampler on offer, driven by a perfect denoiser, lands on the data.

The data are four random pictures. For them the best prediction under any noise is known exactly, so a sampler
that works must end on one of the four, and on each of them about equally often; on an ordinary schedule with
noise prediction, and on a zero-terminal-SNR schedule with v-prediction.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.diffusion.samplers import make_scheduler
from charaforge.requests.samplers import SAMPLERS, find_sampler

PICTURES = torch.randn((4, 4, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
BASE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "set_alpha_to_one": False}
"""As Stable Diffusion's; no word about clipping, as in the configs of models made for Euler."""
FAMILIES: dict[str, dict[str, Any]] = {
    "v-prediction, zero terminal SNR": {
        **BASE,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    },
    "epsilon": {**BASE, "prediction_type": "epsilon", "steps_offset": 1, "timestep_spacing": "leading"},
}


def perfect_prediction(schedule: NoiseSchedule, noisy: Tensor, timestep: Tensor) -> Tensor:
    """Return the exact mean prediction for data that are one of PICTURES, at any (also broken) timestep."""
    low = int(timestep)
    share = float(timestep) - low
    around = schedule.alphas_cumprod.double()[[low, min(low + 1, 999)]]
    alpha = (1 - share) * around[0] + share * around[1]
    signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
    distance = ((noisy.double()[:, None] - signal * PICTURES) ** 2).flatten(2).sum(-1)
    likely = (-distance / (2 * sigma**2)).softmax(1)
    clean = torch.einsum("bk,kchw->bchw", likely, PICTURES)
    noise = (noisy.double() - signal * clean) / sigma
    return (signal * noise - sigma * clean if schedule.prediction == "v_prediction" else noise).float()


def sample(name: str, config: dict[str, Any], steps: int, count: int) -> Tensor:
    scheduler, schedule = make_scheduler(name, config, steps), NoiseSchedule.from_config(config)
    draws = [torch.Generator().manual_seed(seed) for seed in range(count)]
    latents = torch.stack([torch.randn(PICTURES.shape[1:], generator=draw) for draw in draws])
    latents = latents * scheduler.init_noise_sigma
    random = {"generator": draws} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        output = perfect_prediction(schedule, scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, return_dict=False, **random)[0]
    return latents


@pytest.mark.parametrize("steps", [10, 25, 30])
@pytest.mark.parametrize("name", [sampler.name for sampler in SAMPLERS])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_sampler_lands_on_the_data(family: str, name: str, steps: int) -> None:
    latents = sample(name, FAMILIES[family], steps, count=64).double()
    distance = ((latents[:, None] - PICTURES) ** 2).flatten(2).mean(-1).sqrt()
    nearest = distance.min(1)
    # the last step leaves the noise of timestep 0, about 0.03; some noise lies between two pictures
    assert float(nearest.values.quantile(0.9)) < 0.06
    assert float(nearest.values.max()) < 0.5
    assert min(torch.bincount(nearest.indices, minlength=4).tolist()) >= 6  # of 16 expected


def test_a_scheduler_is_fresh_each_time() -> None:
    config = FAMILIES["epsilon"]
    assert make_scheduler("euler", config, 4) is not make_scheduler("euler", config, 4)


@pytest.mark.parametrize("steps", [7, 10, 25, 30])
@pytest.mark.parametrize("family", FAMILIES)
def test_named_schedules_stand_where_a1111_has_them(family: str, steps: int) -> None:
    """A1111's definitions in `sd_schedulers`, of its 1,000 time steps; ours are rounded to whole ones."""
    even = torch.linspace(999, 0, steps + 1)[:-1]
    wanted = {
        "SGM Uniform": even,
        "Simple": torch.tensor([999.0 - int(place * 1000 / steps) for place in range(steps)]),
        "Normal": torch.linspace(999, 0, steps),
        "DDIM": torch.tensor([1.0 + place * (1000 // steps) for place in range(steps)]).flip(0),
    }
    for schedule, places in wanted.items():
        if schedule == "DDIM" and family != "epsilon":
            continue  # there the model's own steps are others
        got = make_scheduler(find_sampler("Euler", schedule).name, FAMILIES[family], steps).timesteps
        assert float((got.double() - places).abs().max()) < 1.5, schedule
