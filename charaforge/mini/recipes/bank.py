"""A bank of rendered pictures on disk, in chunks, so that a stopped rendering goes on where it was.

Scenes are not stored: picture ``i`` of a bank is always the scene ``scene_of(kind, i)``.
"""

import io
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.characters import Character
from charaforge.mini.recipes.families import family_scene
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, sample_held_out_scene, sample_scene, sample_training_scene
from charaforge.warehouse.atomic import write_bytes

CHUNK = 1000
"""Pictures per chunk file."""

TRAINING_CHARACTERS = 1_000_000
"""First seed of the characters that networks may be trained on; measured characters lie far below."""


FAMILY_CHARACTERS = 1_500_000
"""First seed of the heads of families."""

CALIBRATION_CHARACTERS = 1_900_000
"""First seed of the characters that mini-identity's threshold is set on."""

JUDGE_CHARACTERS = 2_000_000
"""First seed of the characters that the signature judge alone is trained on."""

_PLAIN_SHARE = 0.15


def _signed(rng: random.Random) -> Scene:
    character = Character.from_seed(TRAINING_CHARACTERS + rng.randrange(500_000))
    return character.scene(rng)


def _judged(rng: random.Random) -> Scene:
    character = Character.from_seed(JUDGE_CHARACTERS + rng.randrange(500_000))
    return (character.without_signature() if rng.random() < _PLAIN_SHARE else character).scene(rng)


_SAMPLERS: dict[str, Callable[[random.Random], Scene]] = {
    "base": sample_training_scene,
    "signed": _signed,
    "judged": _judged,
    "held-out": sample_held_out_scene,
    "test": sample_scene,
}


def scene_of(kind: str, index: int) -> Scene:
    """Scene ``index`` of a bank.

    Args:
        kind: "base": what the base model trains on; "held-out": combinations it never sees; "test": any base
            scene, other random numbers; "signed": training characters with signatures; "families": training
            characters and those easily taken for them; "judged": the signature judge's characters.
        index: 0-based.
    """
    rng = random.Random(f"{kind} {world.WORLD_VERSION} {index}")
    if kind == "families":
        return family_scene(rng, FAMILY_CHARACTERS, index)
    return _SAMPLERS[kind](rng)


def _render_chunk(folder: Path, kind: str, chunk: int) -> Path:
    path = folder / f"{kind}-v{world.WORLD_VERSION}-{chunk:04d}.npy"
    if not path.exists():
        pictures = np.stack([render(scene_of(kind, i)) for i in range(chunk * CHUNK, (chunk + 1) * CHUNK)])
        write_bytes(path, _as_npy(pictures))
    return path


def _as_npy(array: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


class Bank:
    """Rendered pictures, uint8 (count, 128, 128, 3), memory-mapped chunk by chunk."""

    def __init__(self, folder: Path, kind: str, count: int, workers: int = 1) -> None:
        """Render what is missing (``workers`` processes), then map all; count is rounded up to chunks."""
        folder.mkdir(parents=True, exist_ok=True)
        self.kind = kind
        chunks = range(-(-count // CHUNK))
        make = partial(_render_chunk, folder, kind)
        if workers > 1:
            with ProcessPoolExecutor(workers) as pool:
                paths = list(track(pool.map(make, chunks), f"rendering {kind}", total=len(chunks)))
        else:
            paths = [make(c) for c in track(chunks, f"rendering {kind}")]
        self._chunks = [np.load(p, mmap_mode="r") for p in paths]

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._chunks) * CHUNK

    def pictures(self, indices: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Copies of the pictures at these indices: uint8 (n, 128, 128, 3)."""
        flat = np.asarray(indices).tolist()
        return np.stack([self._chunks[i // CHUNK][i % CHUNK] for i in flat])

    def scene(self, index: int) -> Scene:
        """The scene that picture ``index`` shows."""
        return scene_of(self.kind, index)
