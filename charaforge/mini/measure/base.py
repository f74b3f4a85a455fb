"""How well a base of the mini family obeys words: prompts of unseen combinations, judged by mini-tagger.

The same judge looks at real renders of the same scenes and at their VAE reconstructions: the most that
the base model could reach.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.attributes import GROUPS, agreement, decide
from charaforge.mini.measure.bars import Bar
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, sample_held_out_scene, scene_tags
from charaforge.perception.wd14 import WD14Tagger

PROMPTS = 512
STEPS = 20
GUIDANCE = 3.0
"""What the cards recommend; higher values harden outlines and colours, and no word is obeyed better."""
_BATCH = 16
_MEASURED = tuple(g for g in GROUPS if g != "framing")
BARS = {
    **{f"generated_{g}": Bar(0.90) for g in ("hair", "style", "outfit", "clothes", "background", "pose")},
    **{f"generated_{g}": Bar(0.70) for g in ("eyes", "bangs", "accessory", "expression")},
    "generated_mean": Bar(0.87),
}


def held_out_scenes(count: int) -> list[Scene]:
    """Scenes of combinations that training never saw; the same ones on every machine."""
    rng = random.Random("obedience")
    return [sample_held_out_scene(rng) for _ in range(count)]


def generate(
    pipe: DiffusionPipeline, scenes: Sequence[Scene], guidance: float = GUIDANCE
) -> list[Image.Image]:
    """One 128 px picture per scene from its exact tags; picture i has noise seed i."""
    pipe.set_progress_bar_config(disable=True)
    pictures: list[Image.Image] = []
    for start in track(range(0, len(scenes), _BATCH), "generating"):
        chosen = scenes[start : start + _BATCH]
        pictures += pipe(
            [", ".join(scene_tags(s)) for s in chosen],
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            width=world.NATIVE_SIDE,
            height=world.NATIVE_SIDE,
            generator=[torch.Generator().manual_seed(start + i) for i in range(len(chosen))],
        ).images
    return pictures


def judge(tagger: WD14Tagger, pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> dict[str, float]:
    """Share of pictures that show what the scene says, per attribute, and the mean over attributes."""
    scores = tagger.tag(pictures)
    found = agreement(scenes, decide(scores.probabilities, scores.names))
    shares = {group: found[group] for group in _MEASURED}
    return shares | {"mean": float(np.mean(list(shares.values())))}


def measure(model: Path, tagger: Path, prompts: int = PROMPTS) -> dict[str, float]:
    """Obedience of generations beside the judge's figures on real renders and on reconstructions.

    Args:
        model: A folder of a StableDiffusionPipeline or StableDiffusionXLPipeline.
        tagger: The folder of mini-tagger.
        prompts: How many held-out scenes.

    Returns:
        ``real_<group>``, ``vae_<group>``, ``generated_<group>`` in [0, 1], each also for "mean".
    """
    torch.set_num_threads(1)
    pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    scenes, judge_of = held_out_scenes(prompts), WD14Tagger(tagger)
    real = np.stack([render(s) for s in scenes])
    columns = {
        "real": [Image.fromarray(picture) for picture in real],
        "vae": [Image.fromarray(picture) for picture in reconstruct(model / "vae", real)],
        "generated": generate(pipe, scenes),
    }
    return {f"{c}_{g}": v for c, pics in columns.items() for g, v in judge(judge_of, pics, scenes).items()}
