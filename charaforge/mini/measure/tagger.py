"""mini-tagger on held-out renders: macro-F1 over tags, and agreement per attribute group."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.mini.attributes import agreement, decide
from charaforge.mini.measure.bars import Bar
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.scenes import Scene, scene_tags
from charaforge.perception.wd14 import TagScores, WD14Tagger

BARS = {"macro_f1": Bar(0.95)}
PICTURES = 4000
VAE_PICTURES = 1000
_THRESHOLD = 0.35


def measure(model: Path, work: Path, vae: Path | None = None, pictures: int = PICTURES) -> dict[str, float]:
    """Tag ``pictures`` renders of the "test" bank (never trained on).

    Args:
        model: The tagger's folder.
        work: Folder that holds the banks; missing pictures are rendered.
        vae: AutoencoderKL folder; with it, reconstructions (of the first 1,000) are tagged too.
        pictures: How many, a multiple of the bank's chunk.

    Returns:
        ``macro_f1`` at 0.35 over all tags, ``agreement_<group>`` for each attribute group; with a VAE
        the same with ``_vae`` appended.
    """
    bank = Bank(work / "bank", "test", pictures)
    scenes = [bank.scene(i) for i in range(pictures)]
    tagger, shown = WD14Tagger(model), bank.pictures(range(pictures))
    figures = _tagged(tagger, shown, scenes)
    if vae is not None:
        decoded = _tagged(tagger, reconstruct(vae, shown[:VAE_PICTURES]), scenes[:VAE_PICTURES])
        figures |= {f"{name}_vae": value for name, value in decoded.items()}
    return figures


def _tagged(tagger: WD14Tagger, pictures: npt.NDArray[np.uint8], scenes: Sequence[Scene]) -> dict[str, float]:
    scores = tagger.tag([Image.fromarray(p) for p in pictures])
    groups = agreement(scenes, decide(scores.probabilities, scores.names))
    return {"macro_f1": macro_f1(scores, scenes), **{f"agreement_{g}": v for g, v in groups.items()}}


def macro_f1(scores: TagScores, scenes: Sequence[Scene], threshold: float = _THRESHOLD) -> float:
    """Mean over tags of F1 = 2 TP / (2 TP + FP + FN); a tag that never occurs and is never given counts 1."""
    column = {name: i for i, name in enumerate(scores.names)}
    truth: npt.NDArray[np.bool_] = np.zeros(scores.probabilities.shape, bool)
    for row, scene in enumerate(scenes):
        truth[row, [column[tag] for tag in scene_tags(scene)]] = True
    given = scores.probabilities > threshold
    hits = 2.0 * (given & truth).sum(0)
    total = given.sum(0) + truth.sum(0)
    return float(np.where(total > 0, hits / np.maximum(total, 1), 1.0).mean())
