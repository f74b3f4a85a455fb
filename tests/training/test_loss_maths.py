"""The maths of the loss against derivations in float64 that share no code with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from charaforge.diffusion.noise import NoiseSchedule, Prediction
from charaforge.training.loss.distances import distance, thresholds
from charaforge.training.loss.masks import masked_mean
from charaforge.training.loss.weights import LEAST_SNR, debiased, like_noise, min_snr

Floats = npt.NDArray[np.float64]
STABLE_DIFFUSION: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
ZERO = {**STABLE_DIFFUSION, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
VELOCITY = {**STABLE_DIFFUSION, "prediction_type": "v_prediction"}


def derived_betas(*, zero: bool) -> Floats:
    """Stable Diffusion's betas; with `zero`, algorithm 1 of Lin et al. 2023, line by line."""
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000, dtype=np.float64) ** 2
    if not zero:
        return betas
    alphas_bar_sqrt = np.sqrt(np.cumprod(1 - betas))
    first, last = alphas_bar_sqrt[0], alphas_bar_sqrt[-1]
    alphas_bar_sqrt = alphas_bar_sqrt - last
    alphas_bar_sqrt = alphas_bar_sqrt * (first / (first - last))
    alphas_bar = alphas_bar_sqrt**2
    alphas = np.concatenate([alphas_bar[:1], alphas_bar[1:] / alphas_bar[:-1]])
    return 1 - alphas


def derived_snr(*, zero: bool) -> Floats:
    """exp(log-SNR) from the sum of the logarithms of the alphas; 0 where an alpha is."""
    with np.errstate(divide="ignore"):
        logs = np.cumsum(np.log(1 - derived_betas(zero=zero)))
    return np.exp(logs) / -np.expm1(logs)


def schedule_of(*, zero: bool) -> NoiseSchedule:
    return NoiseSchedule.from_config(ZERO if zero else VELOCITY)


@pytest.mark.parametrize("zero", [False, True])
def test_betas_and_snr_are_those_of_the_derivation(zero: bool) -> None:
    schedule = schedule_of(zero=zero)
    bars = np.cumprod(1 - derived_betas(zero=zero))
    np.testing.assert_allclose(schedule.alphas_cumprod.numpy(), bars, rtol=1e-6, atol=1e-12)
    alphas = schedule.alphas_cumprod.numpy()
    betas = 1 - np.concatenate([alphas[:1], alphas[1:] / alphas[:-1]])
    np.testing.assert_allclose(betas, derived_betas(zero=zero), rtol=1e-6)
    snr = schedule.snr(torch.arange(1000)).double().numpy()
    np.testing.assert_allclose(snr, derived_snr(zero=zero), rtol=1e-6, atol=1e-12)
    assert bool(snr[-1] == 0.0) is zero
    assert schedule.zero_terminal_snr is zero


def test_velocity_targets_are_those_of_the_derivation() -> None:
    """v = d x_t / d phi on the circle x_t = cos(phi) x + sin(phi) e (Salimans & Ho 2022, appendix D)."""
    random = np.random.default_rng(0)
    clean, noise = random.normal(size=(2, 1000, 4, 2, 2))
    phi = np.arccos(np.sqrt(np.cumprod(1 - derived_betas(zero=True))))[:, None, None, None]
    wanted = np.cos(phi) * noise - np.sin(phi) * clean
    schedule, steps = schedule_of(zero=True), torch.arange(1000)
    target = schedule.target(torch.tensor(clean), torch.tensor(noise), steps)
    np.testing.assert_allclose(target.numpy(), wanted, atol=1e-6)
    single = schedule.target(torch.tensor(clean).float(), torch.tensor(noise).float(), steps)
    np.testing.assert_allclose(single.numpy(), wanted, atol=1e-6)
    half_way = 1e-6
    ahead = np.cos(phi + half_way) * clean + np.sin(phi + half_way) * noise
    before = np.cos(phi - half_way) * clean + np.sin(phi - half_way) * noise
    np.testing.assert_allclose(target.numpy(), (ahead - before) / (2 * half_way), atol=1e-6)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("gamma", [1.0, 5.0, 8.0])
def test_min_snr_weights_the_picture_by_at_most_gamma(zero: bool, gamma: float) -> None:
    """In units of the picture's error every prediction has the weight min(SNR, gamma)."""
    wanted = np.minimum(derived_snr(zero=zero), gamma)
    snr = schedule_of(zero=zero).snr(torch.arange(1000)).double()
    np.testing.assert_allclose(min_snr(snr, gamma, "epsilon") * snr, wanted, rtol=1e-6)
    np.testing.assert_allclose(min_snr(snr, gamma, "v_prediction") * (snr + 1), wanted, rtol=1e-6)


@pytest.mark.parametrize("zero", [False, True])
def test_debiased_and_noise_like_weights_in_units_of_the_picture(zero: bool) -> None:
    snr, wanted = schedule_of(zero=zero).snr(torch.arange(1000)).double(), derived_snr(zero=zero)
    seen = wanted >= LEAST_SNR
    np.testing.assert_allclose((debiased(snr, "epsilon") * snr)[seen], np.sqrt(wanted)[seen], rtol=1e-6)
    np.testing.assert_allclose(debiased(snr, "v_prediction") * (snr + 1), np.sqrt(wanted), rtol=1e-6)
    np.testing.assert_allclose(like_noise(snr) * (snr + 1), wanted, rtol=1e-6)


def test_pain_5_1_weights_are_read_from_the_rescaled_schedule() -> None:
    """Peers build their table before rescaling: wrong by 1.15 at t = 500, by 4.8 at 900."""
    stale, rescaled = derived_snr(zero=False), derived_snr(zero=True)
    weights = min_snr(schedule_of(zero=True).snr(torch.arange(1000)).double(), 5.0, "v_prediction").numpy()
    np.testing.assert_allclose(weights, np.minimum(rescaled, 5) / (rescaled + 1), rtol=1e-6)
    wrong = np.minimum(stale, 5) / (stale + 1)
    for step, factor in ((500, 1.1), (700, 1.4), (800, 1.9), (900, 4.0)):
        assert wrong[step] / weights[step] > factor


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_pain_5_1_every_weight_is_finite_at_snr_0(prediction: Prediction) -> None:
    snr = torch.tensor([0.0, 1e-30, 1e-3, 1.0, 1e4], requires_grad=False)
    for weights in (min_snr(snr, 5.0, prediction), debiased(snr, prediction), like_noise(snr)):
        assert torch.isfinite(weights).all()
        assert (weights >= 0).all()
    assert float(min_snr(snr, 5.0, "epsilon")[0]) == 1.0
    assert float(min_snr(snr, 5.0, "v_prediction")[0]) == 0.0


def test_the_velocity_loss_scaled_like_noise_is_the_noise_loss() -> None:
    """For any prediction: a_t |v - v'|² = |e - e'|² (e = sqrt(a) v + sqrt(1 - a) x_t)."""
    schedule = schedule_of(zero=True)
    steps = torch.tensor([3, 500, 900, 999])
    noisy, found, target = torch.randn((3, 4, 4, 2, 2), generator=torch.Generator().manual_seed(0)).double()
    noise_error = schedule.noise_of(found, noisy, steps) - schedule.noise_of(target, noisy, steps)
    scaled = like_noise(schedule.snr(steps).double()) * (found - target).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(scaled, noise_error.square().mean(dim=(1, 2, 3)), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("kind", "scale"), [("huber", 0.3), ("smooth_l1", 1.0)])
def test_robust_distances_are_square_near_and_straight_far_off(kind: Any, scale: float) -> None:
    c = torch.tensor([0.3])
    found = torch.tensor([1e-4, 1e-2, 1.0, 100.0], dtype=torch.float64).view(1, 1, 2, 2)
    exact = 2 * scale * (np.sqrt(found.numpy() ** 2 + 0.3**2) - 0.3)
    told = distance(kind, found, torch.zeros_like(found), c.double())
    np.testing.assert_allclose(told, exact, rtol=1e-6, atol=1e-12)
    single = distance(kind, found.float(), torch.zeros(1), c)
    np.testing.assert_allclose(single, exact, rtol=1e-5)
    assert float(told[0, 0, 1, 1]) == pytest.approx(2 * scale * (100 - 0.3), rel=1e-4)
    assert torch.equal(distance("l2", found, torch.zeros_like(found)), found**2)
    with pytest.raises(ValueError, match="threshold"):
        distance(kind, found, found)


def test_thresholds_fall_from_1_to_c_and_are_finite_in_pure_noise() -> None:
    alphas = schedule_of(zero=True).alphas_cumprod
    assert torch.equal(thresholds("constant", 0.1, alphas), torch.full_like(alphas, 0.1))
    falling = thresholds("exponential", 0.1, alphas)
    assert float(falling[0]) == 1.0
    assert float(falling[500]) == pytest.approx(0.1**0.5)
    by_snr = thresholds("snr", 0.1, alphas)
    sigma = np.sqrt((1 - alphas[:-1]) / alphas[:-1])
    np.testing.assert_allclose(by_snr[:-1], 0.9 / (1 + sigma) ** 2 + 0.1, rtol=1e-9)
    assert float(by_snr[-1]) == 0.1


def test_masks_weigh_what_they_show() -> None:
    distances = torch.arange(8.0).view(1, 2, 2, 2).repeat(3, 1, 1, 1)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]], [[[0.5, 0.5], [0.5, 0.5]]], [[[0.0] * 2] * 2]])
    plain = distances.mean(dim=(1, 2, 3))
    assert torch.equal(masked_mean(distances, None), plain)
    assert masked_mean(distances, mask).tolist() == pytest.approx([4 / 8, 28 / 16, 0.0])
    weighted = masked_mean(distances, mask, unmasked_weight=0.25)
    assert weighted.tolist() == pytest.approx([(4 + 0.25 * 24) / 8, 28 / 16, 28 / 32])
    normalized = masked_mean(distances, mask, normalize=True)
    assert normalized.tolist() == pytest.approx([2.0, 3.5, 0.0])
    assert torch.isfinite(normalized).all()
