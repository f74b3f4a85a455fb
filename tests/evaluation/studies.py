"""Simulated studies: accepts of prompts that resemble themselves, of checkpoints that resemble others."""

import numpy as np
import numpy.typing as npt
from scipy import stats

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def beta_studies(
    rng: np.random.Generator, studies: int, prompts: int, seeds: int, truth: float, correlation: float
) -> Flags:
    """Accepts (N, P, S), beta-binomial: the correlation of two pictures of one prompt is as given."""
    scale = 1 / correlation - 1
    chance = rng.beta(truth * scale, (1 - truth) * scale, (studies, prompts, 1))
    return rng.random((studies, prompts, seeds)) < chance


def torn_studies(
    rng: np.random.Generator, studies: int, prompts: int, seeds: int, truth: float, correlation: float
) -> Flags:
    """The same, but a share of the prompts, ``correlation``, is all accepted or all refused."""
    torn = rng.random((studies, prompts, 1)) < correlation
    chance = np.where(torn, rng.random((studies, prompts, 1)) < truth, truth)
    return rng.random((studies, prompts, seeds)) < chance


def true_curves(rng: np.random.Generator, studies: int, checkpoints: int = 8) -> Floats:
    """True shares (N, K): rising at different speeds to different heights, falling when overtrained."""
    height, speed = rng.uniform(0.75, 0.98, (studies, 1)), rng.uniform(0.4, 3, (studies, 1))
    turn, fall = rng.uniform(3, 9, (studies, 1)), rng.uniform(0, 0.04, (studies, 1))
    step = np.arange(1, checkpoints + 1)[None]
    rise = height * (1 - np.exp(-step / speed))
    return np.clip(rise - fall * np.maximum(0, step - turn), 0.02, 0.985)


def coupled_accepts(
    rng: np.random.Generator, truths: Floats, prompts: int, seeds: int, correlation: float, coupling: float
) -> Flags:
    """Accepts (N, K, P, S) of checkpoints that share the difficulty of prompts and of seeds."""
    studies, checkpoints = truths.shape
    share = min(1.4 * correlation, 0.8)  # of the latent variance that lies between prompts

    def coupled(shape: tuple[int, ...], strength: float) -> Floats:
        common = rng.standard_normal((studies, 1, *shape))
        own = rng.standard_normal((studies, checkpoints, *shape))
        return np.sqrt(strength) * common + np.sqrt(1 - strength) * own

    prompt = coupled((prompts, 1), coupling)
    picture = coupled((prompts, seeds), 0.6 * coupling)
    latent = np.sqrt(share) * prompt + np.sqrt(1 - share) * picture
    return latent < stats.norm.ppf(truths)[:, :, None, None]
