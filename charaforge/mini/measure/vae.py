"""The mini VAE: PSNR on held-out renders, and inside signature traits that the UNet never saw.

python -m charaforge.mini.measure.vae
"""

import random
import sys
from pathlib import Path

import numpy as np
import torch

from charaforge.mini.characters import Character
from charaforge.mini.measure.bars import Bar
from charaforge.mini.recipes.decoded import psnr_db, reconstruct, squared_errors
from charaforge.mini.render import render, signature_mask
from charaforge.mini.scenes import sample_held_out_scene
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

PICTURES = 200
BARS = {"psnr_db": Bar(27), "signature_psnr_db": Bar(20)}
_FIRST_CHARACTER = 20_000


def measure(folder: Path, pictures: int = PICTURES) -> dict[str, float]:
    """Mean PSNR in dB (peak 1) over ``pictures`` base scenes, and inside the masks of as many signatures.

    Args:
        folder: An AutoencoderKL folder.
        pictures: How many of either; the characters are ones that no network was trained on.
    """
    torch.set_num_threads(1)
    rng = random.Random("vae")
    base = np.stack([render(sample_held_out_scene(rng)) for _ in range(pictures)])
    signed = [Character.from_seed(_FIRST_CHARACTER + i).scene(rng) for i in range(pictures)]
    drawn, masks = np.stack([render(s) for s in signed]), [signature_mask(s) for s in signed]
    errors = squared_errors(drawn, reconstruct(folder, drawn))
    inside = [e[m].mean() for e, m in zip(errors, masks, strict=True) if m.any()]
    return {
        "psnr_db": psnr_db(base, reconstruct(folder, base)),
        "signature_psnr_db": float(-10 * np.log10(inside).mean()),
    }


def main() -> None:
    """Print the figures of the embedded VAE."""
    figures = measure(Registry(bootstrap()).get("mini-sd", "base").path / "vae")
    for name, value in figures.items():
        sys.stdout.write(f"{name} {value:.2f} ({BARS[name]})\n")


if __name__ == "__main__":
    main()
