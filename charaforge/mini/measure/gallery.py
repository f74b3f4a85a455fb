"""The gallery of named impostors beside mini-identity: characters with their traits, several pictures each.

    python -m charaforge.mini.measure.gallery

Every pair of hair and eye colour is shared by ``PER_PAIR`` characters, so that whoever is evaluated meets
impostors that resemble it.
"""

import argparse
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.recipes.export import renew_card
from charaforge.mini.render import render
from charaforge.perception.ccip import IdentityEncoder
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.registry import Registry

FIRST_SEED = 100_000
"""Where the search for characters begins; no network is trained or judged on these."""

PER_PAIR, PICTURES = 10, 5
"""Characters per pair of hair and eye colour, and pictures of each."""


def members(per_pair: int = PER_PAIR) -> list[Character]:
    """The first characters from ``FIRST_SEED`` on that fill every pair of hair and eye colour."""
    wanted = len(world.HAIR_COLORS) * len(world.EYE_COLORS)
    found: dict[tuple[str, str], list[Character]] = defaultdict(list)
    seed = FIRST_SEED
    while len(found) < wanted or min(map(len, found.values())) < per_pair:
        character = Character.from_seed(seed)
        pair = found[character.hair, character.eyes]
        if len(pair) < per_pair:
            pair.append(character)
        seed += 1
    return sorted((one for pair in found.values() for one in pair), key=lambda one: one.seed)


def in_bytes(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Embeddings (n, D) as bytes: only their direction counts, and it stays to 0.001 of a cosine."""
    largest = np.abs(embeddings).max(axis=1, keepdims=True)
    rounded: npt.NDArray[np.int8] = np.rint(embeddings / largest * 127).astype(np.int8)
    return rounded


def main() -> None:
    """Write ``gallery.npz``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--identity", type=Path, help="folder of the encoder [default: mini-identity's]")
    arguments = parser.parse_args()
    folder = arguments.identity or Registry(bootstrap()).get("mini-identity", "identity").path
    encoder = IdentityEncoder(folder)
    characters = members()
    parts = []
    for character in track(characters, "embedding the gallery", unit="characters"):
        rng = random.Random(f"gallery {character.seed}")
        parts.append(encoder.embed([Image.fromarray(render(character.scene(rng))) for _ in range(PICTURES)]))
    with replacing(folder / "gallery.npz") as temporary:
        np.savez_compressed(
            temporary,
            embeddings=in_bytes(np.concatenate(parts)),
            characters=np.repeat([f"mini {one.seed}" for one in characters], PICTURES),
            traits=np.repeat([", ".join(one.trait_tags()) for one in characters], PICTURES),
        )
    renew_card(folder)


if __name__ == "__main__":
    main()
