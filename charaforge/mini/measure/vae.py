"""The mini VAE: PSNR on held-out renders, and inside signature traits that the UNet never saw.

python -m charaforge.mini.measure.vae
"""

import random
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL

from charaforge.mini.characters import Character
from charaforge.mini.measure.bars import Bar
from charaforge.mini.render import render, signature_mask
from charaforge.mini.scenes import Scene, sample_held_out_scene
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

PICTURES = 200
BARS = {"psnr_db": Bar(27), "signature_psnr_db": Bar(20)}
_FIRST_CHARACTER = 20_000


@torch.no_grad()
def squared_errors(vae: AutoencoderKL, scenes: list[Scene]) -> npt.NDArray[np.float64]:
    """Squared error per pixel and channel after a round trip: (N, 128, 128, 3), pixels from 0 to 1."""
    errors = []
    for scene in scenes:
        pixels = torch.from_numpy(render(scene)).permute(2, 0, 1)[None].float() / 127.5 - 1
        output = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
        errors.append((((output - pixels) / 2)[0].permute(1, 2, 0).double() ** 2).numpy())
    return np.stack(errors)


def measure(folder: Path, pictures: int = PICTURES) -> dict[str, float]:
    """Mean PSNR in dB (peak 1) over ``pictures`` base scenes, and inside the masks of as many signatures.

    Args:
        folder: An AutoencoderKL folder.
        pictures: How many of either; the characters are ones that no network was trained on.
    """
    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()
    rng = random.Random("vae")
    base = [sample_held_out_scene(rng) for _ in range(pictures)]
    signed = [Character.from_seed(_FIRST_CHARACTER + i).scene(rng) for i in range(pictures)]
    whole = squared_errors(vae, base).mean((1, 2, 3))
    masks = [signature_mask(scene) for scene in signed]
    inside = [e[m].mean() for e, m in zip(squared_errors(vae, signed), masks, strict=True) if m.any()]
    return {
        "psnr_db": float(-10 * np.log10(whole).mean()),
        "signature_psnr_db": float(-10 * np.log10(inside).mean()),
    }


def main() -> None:
    """Print the figures of the embedded VAE."""
    figures = measure(Registry(bootstrap()).get("mini-sd", "base").path / "vae")
    for name, value in figures.items():
        sys.stdout.write(f"{name} {value:.2f} ({BARS[name]})\n")


if __name__ == "__main__":
    main()
