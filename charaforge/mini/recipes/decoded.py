"""Reconstructions of banked pictures by the trained mini VAE: what generated pictures look like at best."""

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from charaforge.logs import get_logger, track
from charaforge.mini.recipes.views import as_tensor
from charaforge.warehouse.atomic import replacing


class SupportsPictures(Protocol):
    """A bank of pictures."""

    def pictures(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """uint8 (n, H, W, 3)."""
        ...


_log = get_logger(__name__)
_BATCH = 25
_LATENT_NOISE = 0.15
_WEIGHTS = "diffusion_pytorch_model.safetensors"


def decoded_pictures(
    work: Path, kind: str, bank: SupportsPictures, count: int
) -> npt.NDArray[np.uint8] | None:
    """Reconstructions of the first ``count`` pictures of a bank, from slightly noisy latents.

    Made by the AutoencoderKL folder ``work``/vae and kept in ``work``/decoded; a better VAE makes new ones.

    Args:
        work: Folder of banks, checkpoints and the VAE.
        kind: Names the file they are kept in.
        bank: Whose ``pictures(indices)`` gives uint8 (n, H, W, 3).
        count: How many.

    Returns:
        uint8 (count, H, W, 3), or None where no VAE has been trained yet.
    """
    weights = work / "vae" / _WEIGHTS
    if not weights.is_file():
        _log.warning("no VAE in %s yet: training without reconstructions", weights.parent)
        return None
    version = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    path = work / "decoded" / f"{kind}-{count}-{version}.npy"
    if not path.is_file():
        pictures = reconstruct(work / "vae", bank.pictures(range(count)), _LATENT_NOISE)
        with replacing(path) as partial:
            np.save(partial, pictures)
    decoded: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return decoded


@torch.no_grad()
def reconstruct(
    vae_folder: Path, pictures: npt.NDArray[np.uint8], latent_noise: float = 0.0
) -> npt.NDArray[np.uint8]:
    """Encode and decode pictures.

    Args:
        vae_folder: A diffusers AutoencoderKL folder.
        pictures: uint8 (N, H, W, 3).
        latent_noise: Each picture's latent is disturbed by Gaussian noise of a strength drawn from 0 to this.

    Returns:
        uint8 (N, H, W, 3).
    """
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(vae_folder, torch_dtype=torch.float32).eval()
    vae.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    parts = []
    for start in track(range(0, len(pictures), _BATCH), "reconstructing"):
        latents = vae.encode(as_tensor(pictures[start : start + _BATCH], torch.float32)).latent_dist.mode()
        strength = latent_noise * torch.rand((len(latents), 1, 1, 1), generator=generator)
        latents = latents + strength * torch.randn(latents.shape, generator=generator)
        decoded = vae.decode(latents).sample
        parts.append(((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


def psnr_db(pictures: npt.NDArray[np.uint8], restored: npt.NDArray[np.uint8]) -> float:
    """Mean over pictures of the peak signal-to-noise ratio in dB; both uint8 (N, H, W, 3)."""
    return float(-10 * np.log10(squared_errors(pictures, restored).mean((1, 2, 3))).mean())


def squared_errors(
    pictures: npt.NDArray[np.uint8], restored: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Squared error per pixel and channel, of values from 0 to 1: (N, H, W, 3)."""
    return ((pictures.astype(np.float64) - restored) / 255) ** 2
