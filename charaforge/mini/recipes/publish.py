"""Turns a trained pipeline into a committed base of the mini family: float16 files, card and model card."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from torch import Tensor

from charaforge.mini import world
from charaforge.mini.measure.base import GUIDANCE
from charaforge.mini.recipes.export import write_card
from charaforge.warehouse.atomic import write_bytes, write_json, write_text

NAME = "mini-sd"
_SEEN = "seen.json"
COLUMNS = ("real", "vae", "generated")


@dataclass(frozen=True, slots=True)
class Release:
    """One base of the family.

    Attributes:
        name: of the model and its folder.
        work: its folder among the recipes' work, which holds ``pipe``.
        recipe: of ``charaforge mini train``.
        family: "sd15" or "sdxl".
        prediction: what its UNet predicts.
        shared_vae: the base whose VAE it uses through a link, or "" where it has its own.
        about: paragraphs of the model card.
    """

    name: str
    work: str
    recipe: str
    family: str
    prediction: str
    shared_vae: str
    about: str


RELEASES: Mapping[str, Release] = {
    NAME: Release(
        name=NAME,
        work="base",
        recipe="base",
        family="sd15",
        prediction="v_prediction",
        shared_vae="",
        about="""A Stable Diffusion 1.x model of the mini world (version {version}): {side} px, chibi
anime characters, Danbooru tags. Same classes, files and code paths as a large model, in {megabytes:.0f} MB.
Made from nothing but CharaForge's own renderer; no picture or weight from anywhere else.
Licence: Apache-2.0.

- **UNet** 6.7 M parameters (64, 128, 128), cross-attention at 8x8 and 4x4; v-prediction, zero terminal SNR.
- **Text encoder** CLIP, 2 layers of 128, 77 positions, trained together with the UNet.
- **VAE** f = 8, 16 latent channels: the encoder is a linear PCA of 8x8 patches, the decoder is trained.
- **Training** {samples:,} samples of {pictures:,} rendered pictures; one (hair colour, hair style, outfit)
  triple in eight was never shown, and no signature trait was ever shown to UNet or text encoder (the VAE
  has seen them). Poses with one raised arm or leg are shown on one side nine times in ten.
- **Use** 20 steps, guidance 3, DDIM, Euler or DPM++ 2M; tags in any order; unknown words are ignored.
- **Limits** one figure, seen from the front; it cannot draw what `charaforge.mini.world` does not name.

Make it again: `charaforge mini train vae`, then `charaforge mini train base`; each resumes when called again.
Then `charaforge mini publish mini-sd`, which also measures it.
""",
    ),
    "mini-sdxl": Release(
        name="mini-sdxl",
        work="sdxl",
        recipe="sdxl",
        family="sdxl",
        prediction="epsilon",
        shared_vae=NAME,
        about="""A Stable Diffusion XL model of the mini world (version {version}): {side} px,
{megabytes:.0f} MB, in the layout of SDXL: two text encoders of different widths, their last but one
layers side by side, the pooled output of the second and six size numbers as added conditions. It predicts
noise on the ordinary scaled-linear schedule, as nearly all models in use do. Licence: Apache-2.0.

- **UNet** 7.2 M parameters (64, 128, 128), begun with mini-sd's tensors where name and shape agree.
- **Text encoders** CLIP, 3 layers of 128 (two begun as mini-sd's, the last unread) and 3 of 160 with
  projection.
- **VAE** mini-sd's, by a link.
- **Training** {samples:,} samples of {pictures:,} rendered pictures; one (hair colour, hair style, outfit)
  triple in eight was never shown, and no signature trait.
- **Use** 20 steps, guidance 3, Euler or DPM++ 2M.
- **Limits** as mini-sd; plain backgrounds are a little off white, since its schedule does not end in noise.

Make it again: `charaforge mini train sdxl`, which resumes when called again, then
`charaforge mini publish mini-sdxl`, which also measures it.
""",
    ),
}


def publish(
    work: Path, out: Path, samples: int, pictures: int, measured: Mapping[str, float], name: str = NAME
) -> Path:
    """Write ``out``/``name`` from the recipe's ``pipe`` with the newest decoder of ``work``/vae.

    Args:
        work: The recipes' folder.
        out: Folder of finished weights.
        samples: Training samples the UNet has seen.
        pictures: Pictures in its bank.
        measured: What ``charaforge.mini.measure.base`` found; goes into both cards.
        name: A key of ``RELEASES``.
    """
    release, folder = RELEASES[name], out / name
    shutil.rmtree(folder, ignore_errors=True)
    pipe = DiffusionPipeline.from_pretrained(
        work / release.work / "pipe", vae=AutoencoderKL.from_pretrained(work / "vae")
    )
    pipe.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for encoder in folder.glob("text_encoder*/model.safetensors"):
        _restore_prefix(encoder)
    _forget_paths(folder)
    if release.shared_vae:
        shutil.rmtree(folder / "vae")
        (folder / "vae").symlink_to(Path("..") / release.shared_vae / "vae", target_is_directory=True)
    recipe = f"charaforge mini train {release.recipe}"
    write_card(
        folder,
        "base",
        {"recipe": recipe, "samples": samples, "pictures": pictures},
        family=release.family,
        max_side=world.NATIVE_SIDE,
        upscaler="mini-upscaler",
        prediction_type=release.prediction,
        guidance=GUIDANCE,
        measured=dict(measured),
    )
    write_text(folder / "MODEL_CARD.md", _model_card(folder, release, samples, pictures, measured))
    return folder


def _model_card(
    folder: Path, release: Release, samples: int, pictures: int, measured: Mapping[str, float]
) -> str:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
    about = release.about.format(
        version=world.WORLD_VERSION,
        side=world.NATIVE_SIDE,
        samples=samples,
        pictures=pictures,
        megabytes=size,
    )
    groups = [k.removeprefix("real_") for k in measured if k.startswith("real_")]
    rows = [f"| {g} | " + " | ".join(f"{measured[f'{c}_{g}']:.3f}" for c in COLUMNS) + " |" for g in groups]
    table = [
        "| 512 unseen combinations, judged by mini-tagger | real renders | through the VAE | generated |",
        "|---|---|---|---|",
        *rows,
    ]
    return f"# {release.name}\n\n{about}\n" + "\n".join(table) + "\n"


def _restore_prefix(path: Path) -> None:
    """Name the text encoder's tensors ``text_model.…`` as in every published model.

    transformers 5 writes a CLIPTextModel built in code without it; older tools then load random weights.
    """
    tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    own = ("text_model.", "text_projection.")
    named = {k if k.startswith(own) else f"text_model.{k}": v for k, v in tensors.items()}
    write_bytes(path, safetensors.torch.save(named, {"format": "pt"}))


def _forget_paths(folder: Path) -> None:
    """Take out of every configuration where it was loaded from."""
    for file in folder.rglob("*.json"):
        told = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(told, dict) and told.pop("_name_or_path", None) is not None:
            write_json(file, told)


def published_samples(folder: Path) -> int:
    """Samples that the published model has seen, 0 if there is none (read from its card)."""
    card = folder / NAME / "card.json"
    if not card.exists():
        return 0
    return int(json.loads(card.read_text(encoding="utf-8"))["trained_on"]["samples"])


def write_seen(folder: Path, samples: int) -> None:
    """Note beside a recipe's ``pipe`` how many samples it has seen, those of published weights included."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _SEEN, {"samples": samples})


def seen_samples(folder: Path) -> int:
    """What ``write_seen`` noted, else 0."""
    note = folder / _SEEN
    return int(json.loads(note.read_text(encoding="utf-8"))["samples"]) if note.is_file() else 0
