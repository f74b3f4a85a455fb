"""Turns a trained pipeline into the committed ``mini-sd`` folder: float16 files, card and model card."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor

from charaforge.mini import world
from charaforge.mini.recipes.export import write_card
from charaforge.warehouse.atomic import write_bytes, write_text

NAME = "mini-sd"
_CARD = """# mini-sd

A Stable Diffusion 1.x model of the mini world (version {version}): {side} px, chibi anime characters,
Danbooru tags. Same classes, files and code paths as a large model, in {megabytes:.0f} MB. Made from nothing
but CharaForge's own renderer; no picture or weight from anywhere else. Licence: Apache-2.0.

- **UNet** 6.7 M parameters (64, 128, 128), cross-attention at 8x8 and 4x4; v-prediction, zero terminal SNR.
- **Text encoder** CLIP, 2 layers of 128, 77 positions, trained together with the UNet.
- **VAE** f = 8, 16 latent channels: the encoder is a linear PCA of 8x8 patches, the decoder is trained.
- **Training** {samples:,} samples of {pictures:,} rendered pictures; one (hair colour, hair style, outfit)
  triple in eight was never shown, and no signature trait was ever shown to UNet or text encoder (the VAE
  has seen them).
- **Use** 20 steps, guidance 3 to 5, DDIM, Euler or DPM++ 2M; tags in any order; unknown words are ignored.
- **Limits** one figure, seen from the front; it cannot draw what `charaforge.mini.world` does not name.

Make it again: `charaforge mini train vae`, then `charaforge mini train base`; each resumes when called again.

| 512 unseen combinations, judged by mini-tagger | real renders | through the VAE | generated |
|---|---|---|---|
{rows}
"""


def publish(work: Path, out: Path, samples: int, pictures: int, measured: Mapping[str, float]) -> Path:
    """Write ``out``/mini-sd from ``work``/base/pipe with the newest decoder of ``work``/vae.

    Args:
        work: The recipes' folder.
        out: Folder of finished weights.
        samples: Training samples the UNet has seen.
        pictures: Pictures in its bank.
        measured: What ``charaforge.mini.measure.base`` found; goes into both cards.
    """
    folder = out / NAME
    shutil.rmtree(folder, ignore_errors=True)
    pipe = StableDiffusionPipeline.from_pretrained(
        work / "base" / "pipe", vae=AutoencoderKL.from_pretrained(work / "vae"), safety_checker=None
    )
    pipe.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    _restore_prefix(folder / "text_encoder" / "model.safetensors")
    write_card(
        folder,
        "base",
        {"recipe": "charaforge mini train base", "samples": samples, "pictures": pictures},
        max_side=world.NATIVE_SIDE,
        upscaler="mini-upscaler",
        prediction_type="v_prediction",
        measured=dict(measured),
    )
    groups = [k.removeprefix("real_") for k in measured if k.startswith("real_")]
    rows = [f"| {g} | " + " | ".join(f"{measured[f'{c}_{g}']:.3f}" for c in _COLUMNS) + " |" for g in groups]
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    text = _CARD.format(
        version=world.WORLD_VERSION,
        side=world.NATIVE_SIDE,
        samples=samples,
        pictures=pictures,
        rows="\n".join(rows),
        megabytes=size,
    )
    write_text(folder / "MODEL_CARD.md", text)
    return folder


_COLUMNS = ("real", "vae", "generated")


def _restore_prefix(path: Path) -> None:
    """Name the text encoder's tensors ``text_model.…`` as in every published model.

    transformers 5 writes a CLIPTextModel built in code without it; older tools then load random weights.
    """
    tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    named = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in tensors.items()}
    write_bytes(path, safetensors.torch.save(named, {"format": "pt"}))


def published_samples(folder: Path) -> int:
    """Samples that the published model has seen, 0 if there is none (read from its card)."""
    card = folder / NAME / "card.json"
    if not card.exists():
        return 0
    return int(json.loads(card.read_text(encoding="utf-8"))["trained_on"]["samples"])
