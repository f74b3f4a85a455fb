"""mini-identity on characters it never saw: true accepts at 1 % false accepts, and accepts of lookalikes."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.logs import track
from charaforge.mini.characters import Character
from charaforge.mini.measure.bars import Bar
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.render import render
from charaforge.perception.ccip import IdentityEncoder

BARS = {
    "true_accepts": Bar(0.97),
    "true_accepts_vae": Bar(0.95),
    "lookalike_accepts": Bar(0.05, at_most=True),
}

CHARACTERS = range(2000, 2030)
IMPOSTORS = range(10_000, 13_000)
REFERENCES = PICTURES = 20
LOOKALIKES = 4
FALSE_ACCEPTS = 0.01
_MEASURED_ON_RECONSTRUCTIONS = ("true_accepts", "lookalike_accepts")

Embeddings = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]


def measure(
    model: Path,
    vae: Path | None = None,
    characters: Sequence[int] = CHARACTERS,
    impostors: Sequence[int] = IMPOSTORS,
) -> dict[str, float]:
    """Score pictures by their median cosine to 20 references, with one threshold for all characters.

    Args:
        model: The encoder's folder.
        vae: AutoencoderKL folder; with it, true accepts on reconstructions are measured too.
        characters: Seeds of the characters.
        impostors: Seeds of the impostors, one picture each.

    Returns:
        ``threshold`` (cosine), and at it ``true_accepts``, ``lookalike_accepts``, ``twin_accepts`` (the
        character without its signature), ``false_accepts``; with a VAE the first two also as ``..._vae``.
    """
    encoder = IdentityEncoder(model)
    heads = [Character.from_seed(s) for s in characters]
    shown = [_pictures(c, "reference", REFERENCES) for c in track(heads, "references")]
    references = [encoder.embed(_images(pictures)) for pictures in shown]
    strangers = np.concatenate([_pictures(Character.from_seed(s), "impostor", 1) for s in impostors])
    sets = {
        "true_accepts": [_pictures(c, "picture", PICTURES) for c in heads],
        "lookalike_accepts": [_lookalike_pictures(c) for c in heads],
        "twin_accepts": [_pictures(c.without_signature(), "twin", PICTURES) for c in heads],
        "false_accepts": [strangers] * len(heads),
    }
    threshold = threshold_at(_scores(encoder, references, sets["false_accepts"]), FALSE_ACCEPTS)
    figures = {"threshold": threshold}
    for name, pictures in sets.items():
        figures[name] = float(np.mean(_scores(encoder, references, pictures) >= threshold))
        if vae is not None and name in _MEASURED_ON_RECONSTRUCTIONS:
            decoded = _through(vae, pictures)
            figures[f"{name}_vae"] = float(np.mean(_scores(encoder, references, decoded) >= threshold))
    return figures


def calibrated_threshold(model: Path, characters: Sequence[int], impostors: Sequence[int]) -> float:
    """The cosine that 1 % of the impostors reach against 20 references of these characters."""
    encoder = IdentityEncoder(model)
    shown = [_pictures(Character.from_seed(s), "reference", REFERENCES) for s in characters]
    references = [encoder.embed(_images(pictures)) for pictures in shown]
    strangers = np.concatenate([_pictures(Character.from_seed(s), "impostor", 1) for s in impostors])
    return threshold_at(_scores(encoder, references, [strangers] * len(references)), FALSE_ACCEPTS)


def threshold_at(impostor_scores: npt.NDArray[np.float64], false_accepts: float) -> float:
    """Smallest score that at most this share of impostor scores reaches."""
    return float(np.nextafter(np.quantile(impostor_scores, 1 - false_accepts, method="higher"), np.inf))


def _pictures(character: Character, purpose: str, count: int) -> Pictures:
    rng = random.Random(f"{purpose} {character.seed}")
    return np.stack([render(character.scene(rng)) for _ in range(count)])


def _lookalike_pictures(character: Character) -> Pictures:
    share = PICTURES // LOOKALIKES
    return np.concatenate([_pictures(character.lookalike(i), "lookalike", share) for i in range(LOOKALIKES)])


def _images(pictures: Pictures) -> list[Image.Image]:
    return [Image.fromarray(p) for p in pictures]


def _through(vae: Path, pictures: Sequence[Pictures]) -> list[Pictures]:
    joined = reconstruct(vae, np.concatenate(pictures))
    return np.split(joined, np.cumsum([len(p) for p in pictures])[:-1])


def _scores(
    encoder: IdentityEncoder, references: Sequence[Embeddings], pictures: Sequence[Pictures]
) -> npt.NDArray[np.float64]:
    """Median cosine of each picture to the references of the character it is scored as."""
    scores = []
    known: dict[int, Embeddings] = {}
    for own, shown in zip(references, pictures, strict=True):
        embedded = known.get(id(shown))
        if embedded is None:
            embedded = known[id(shown)] = encoder.embed(_images(shown))
        scores.append(np.median(embedded @ own.T, axis=1))
    return np.concatenate(scores).astype(np.float64)
