"""Make the impostor packs that lie beside mini-identity's weights.

Two packs of L2-normalised embeddings, float16 (n, D), one picture per impostor:

- ``impostors.npz``: renders of characters 10,000 … 12,999, whom no network has seen;
- ``impostors_generated.npz``: pictures by mini-sd of random trait words.

    python -m charaforge.mini.measure.impostors real
    python -m charaforge.mini.measure.impostors generated --count 3000
"""

import argparse
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.generation.generator import Generator
from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.recipes.export import renew_card
from charaforge.mini.render import render
from charaforge.mini.scenes import sample_scene, scene_tags
from charaforge.perception.ccip import IdentityEncoder
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

FIRST_SEED = 10_000
"""Seed of the first impostor; no network is trained or judged on these characters."""

COUNT = 3000
"""Impostors per pack: 1 % of them is 30, so the rate is known to within .68-1.38 %."""

_BATCH = 64


def rendered(count: int) -> Iterator[Image.Image]:
    """One random picture of each of ``count`` characters, 128 px."""
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        scene = Character.from_seed(seed).scene(random.Random(f"impostor {seed}"))
        yield Image.fromarray(render(scene))


def generated(count: int, warehouse: Warehouse) -> Iterator[Image.Image]:
    """``count`` pictures by mini-sd, each of the words of another random scene, 128 px."""
    side = world.NATIVE_SIDE
    prompts = (
        ", ".join(scene_tags(sample_scene(random.Random(f"impostor {FIRST_SEED + i}")))) for i in range(count)
    )
    requests = [
        GenerationRequest(prompt=prompt, model="mini-sd", width=side, height=side, seed=FIRST_SEED + i)
        for i, prompt in enumerate(prompts)
    ]
    return (picture.image for picture in Generator(warehouse).generate_many(requests))


def embed(pictures: Iterator[Image.Image], encoder: IdentityEncoder, count: int) -> npt.NDArray[np.float16]:
    """Embeddings of ``count`` pictures: float16 (count, D), L2-normalised."""
    starts = track(range(0, count, _BATCH), "embedding impostors", unit="batches")
    parts = [encoder.embed(list(islice(pictures, min(_BATCH, count - start)))) for start in starts]
    return np.concatenate(parts).astype(np.float16)


def main() -> None:
    """Write one pack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("real", "generated"))
    parser.add_argument("--count", type=int, default=COUNT, help=f"pictures [default: {COUNT}]")
    parser.add_argument("--identity", type=Path, help="folder of the encoder [default: mini-identity's]")
    arguments = parser.parse_args()
    warehouse = bootstrap()
    folder = arguments.identity or Registry(warehouse).get("mini-identity", "identity").path
    pictures = (
        rendered(arguments.count) if arguments.kind == "real" else generated(arguments.count, warehouse)
    )
    embeddings = embed(pictures, IdentityEncoder(folder), arguments.count)
    name = "impostors.npz" if arguments.kind == "real" else "impostors_generated.npz"
    with replacing(folder / name) as temporary:
        np.savez_compressed(temporary, embeddings=embeddings)
    renew_card(folder)


if __name__ == "__main__":
    main()
