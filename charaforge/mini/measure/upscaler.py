"""mini-upscaler against Lanczos at x4: mean PSNR on clean pictures and on VAE-decoded ones."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.mini.measure.bars import Bar
from charaforge.mini.recipes.bank import scene_of
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.recipes.upscaler import FACTOR, box_average
from charaforge.mini.render import render
from charaforge.perception.upscale import Upscaler

BARS = {"gain_db": Bar(2.0), "gain_db_vae": Bar(1.0)}
PICTURES = 100
_SIDE = 512


def measure(model: Path, vae: Path | None = None, pictures: int = PICTURES) -> dict[str, float]:
    """Shrink 512 px renders of the "test" world to 128 px by box average, enlarge them again, compare.

    Args:
        model: The upscaler's folder.
        vae: AutoencoderKL folder; with it, the small pictures are also passed through the VAE.
        pictures: How many.

    Returns:
        ``psnr_db``, ``lanczos_db`` and their difference ``gain_db``; with a VAE the same with ``_vae``.
    """
    upscaler = Upscaler(model)
    large = np.stack([render(scene_of("test", i), _SIDE) for i in range(pictures)])
    small = np.stack([box_average(p) for p in large])
    figures = _compared(upscaler, small, large)
    if vae is not None:
        decoded = _compared(upscaler, reconstruct(vae, small), large)
        figures |= {f"{name}_vae": value for name, value in decoded.items()}
    return figures


def psnr(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape, peak 255."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def _compared(
    upscaler: Upscaler, small: npt.NDArray[np.uint8], large: npt.NDArray[np.uint8]
) -> dict[str, float]:
    images = [Image.fromarray(p) for p in small]
    size = (small.shape[2] * FACTOR, small.shape[1] * FACTOR)
    ours = [np.asarray(p) for p in upscaler.upscale(images)]
    theirs = [np.asarray(p.resize(size, Image.Resampling.LANCZOS)) for p in images]
    figures = {
        "psnr_db": float(np.mean([psnr(a, b) for a, b in zip(ours, large, strict=True)])),
        "lanczos_db": float(np.mean([psnr(a, b) for a, b in zip(theirs, large, strict=True)])),
    }
    return {**figures, "gain_db": figures["psnr_db"] - figures["lanczos_db"]}
