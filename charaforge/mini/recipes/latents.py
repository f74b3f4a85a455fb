"""Latents of a whole bank, and how much each latent cell counts in the loss."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from charaforge.logs import track
from charaforge.mini.recipes.analytic_vae import PatchPCA
from charaforge.mini.recipes.bank import CHUNK, Bank
from charaforge.mini.recipes.views import as_tensor
from charaforge.mini.render import keypoints
from charaforge.mini.scenes import Scene

_CELLS = 16
_POINT_WEIGHTS = {
    "eyes": ((14, 15), 1.0, 0.9),
    "wrists": ((4, 7), 2.6, 1.1),
    "elbows": ((3, 6), 1.4, 1.0),
    "ankles": ((10, 13), 1.0, 1.0),
    "knees": ((9, 12), 0.8, 1.0),
}
"""Part to (OpenPose key points, amount, radius in cells)."""
_FOREHEAD = (1.4, 1.8, 1.8)
"""Amount, radius in cells, cells above the eyes: where the fringe is told apart."""
_MOUTH = (5.0, 0.9, 0.6)
"""Amount, radius in cells, cells below the nose: one and a half cells tell three expressions apart."""


def encode_bank(bank: Bank, pca: PatchPCA, path: Path) -> Tensor:
    """Latents of every picture, float16 (N, 16, 16, 16); kept in ``path``."""
    if path.exists():
        return torch.from_numpy(np.load(path))
    parts = []
    for start in track(range(0, len(bank), CHUNK), "encoding latents"):
        pictures = as_tensor(bank.pictures(range(start, start + CHUNK)), torch.float32)
        parts.append(pca.encode(pictures).half())
    latents = torch.cat(parts)
    np.save(path, latents.numpy())
    return latents


def loss_weights(scenes: list[Scene]) -> Tensor:
    """How much each latent cell counts: float16 (N, 16, 16), mean 1 per picture, up to about 5 at the mouth.

    Eyes, mouth, fringe and hands are a handful of 256 cells; with equal weights they are learned last.
    """
    points = np.stack([keypoints(s)[:, :2] for s in scenes]) / (128 / _CELLS) - 0.5
    grid = np.stack(np.meshgrid(np.arange(_CELLS), np.arange(_CELLS)), -1).astype(np.float32)
    zoom = np.array([1.4 if s.framing == "upper body" else 1.0 for s in scenes], np.float32)
    weights = np.full((len(scenes), _CELLS, _CELLS), 0.7, np.float32)

    def add(centre: np.ndarray, amount: float, sigma: float) -> None:
        distance = ((grid[None] - centre[:, None, None]) ** 2).sum(-1)
        weights[:] += amount * np.exp(-distance / (2 * (sigma * zoom[:, None, None]) ** 2))

    for indices, amount, sigma in _POINT_WEIGHTS.values():
        for i in indices:
            add(points[:, i], amount, sigma)
    amount, sigma, above = _FOREHEAD
    add((points[:, 14] + points[:, 15]) / 2 - np.outer(zoom, (0, above)), amount, sigma)
    amount, sigma, below = _MOUTH
    add(points[:, 0] + np.outer(zoom, (0, below)), amount, sigma)
    weights /= weights.mean((1, 2), keepdims=True)
    return torch.from_numpy(weights).half()
