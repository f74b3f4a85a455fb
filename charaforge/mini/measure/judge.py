"""mini-signature-judge on characters it never saw: right kind and colour, rendered and reconstructed."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.mini.characters import Character
from charaforge.mini.measure.bars import Bar
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, sample_scene
from charaforge.perception.judge import SignatureJudge

BARS = {
    "right": Bar(0.97),
    "false_alarms": Bar(0.02, at_most=True),
    "right_vae_over_right": Bar(0.95),
}

CHARACTERS = range(3000, 3500)


def measure(model: Path, vae: Path | None = None, characters: Sequence[int] = CHARACTERS) -> dict[str, float]:
    """One picture of each character, and as many base scenes without signature.

    Args:
        model: The judge's folder.
        vae: AutoencoderKL folder; with it, reconstructions are judged too.
        characters: Seeds of the characters.

    Returns:
        ``right`` (kind and colour), ``right_kind``, ``false_alarms`` (a signature seen where none is), with a
        VAE also ``right_vae``, ``false_alarms_vae`` and ``right_vae_over_right``.
    """
    judge = SignatureJudge(model)
    rng = random.Random("signature judge")
    signed = [Character.from_seed(s).scene(rng) for s in characters]
    plain = [sample_scene(rng) for _ in characters]
    pictures = np.stack([render(s) for s in (*signed, *plain)])
    figures = _judged(judge, pictures, signed)
    if vae is not None:
        decoded = _judged(judge, reconstruct(vae, pictures), signed)
        figures |= {f"{name}_vae": value for name, value in decoded.items()}
        figures["right_vae_over_right"] = decoded["right"] / max(figures["right"], 1e-9)
    return figures


def _judged(
    judge: SignatureJudge, pictures: npt.NDArray[np.uint8], signed: Sequence[Scene]
) -> dict[str, float]:
    decided = judge.judge([Image.fromarray(p) for p in pictures]).decided()
    truth = [(s.signature.kind, s.signature.color) for s in signed if s.signature is not None]
    seen = list(zip(decided, truth, strict=False))
    return {
        "right": float(np.mean([found == told for found, told in seen])),
        "right_kind": float(np.mean([found[0] == told[0] for found, told in seen])),
        "false_alarms": float(np.mean([kind != "none" for kind, _ in decided[len(signed) :]])),
    }
