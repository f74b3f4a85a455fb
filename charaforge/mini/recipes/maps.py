"""Exact control maps of banked pictures: what the mini ControlNets are trained on.

Maps are uint8 (N, 128, 128, 3), in the conventions of the large ControlNets: depth white = near, lines and
edges white on black, poses in OpenPose's colours on black. Depth and line art are drawn once per bank and
kept beside it; edges and poses are cheap and made anew.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from charaforge.logs import track
from charaforge.mini import world
from charaforge.mini.recipes.bank import CHUNK, Bank
from charaforge.mini.render import Layer, keypoints, render
from charaforge.mini.scenes import Scene
from charaforge.perception.openpose_map import render_pose
from charaforge.warehouse.atomic import write_bytes

Maps = npt.NDArray[np.uint8]
CANNY_LIMITS = ((50, 200), (80, 240))
"""Ranges that the lower and the upper limit of Canny's edges are drawn from."""


def depth_map(scene: Scene) -> Maps:
    """Nearness of every pixel: uint8 (128, 128)."""
    return render(scene, world.NATIVE_SIDE, Layer.DEPTH)[..., 0]


def line_map(scene: Scene) -> Maps:
    """Outlines, white on black: uint8 (128, 128)."""
    return np.asarray(255 - render(scene, world.NATIVE_SIDE, Layer.LINE_ART)[..., 0], np.uint8)


def pose_map(scene: Scene) -> Maps:
    """The skeleton as OpenPose draws it: uint8 (128, 128, 3)."""
    return render_pose(keypoints(scene)[None], world.NATIVE_SIDE, world.NATIVE_SIDE)


class Layers:
    """One drawn layer of the first pictures of a bank, kept beside it."""

    def __init__(
        self, folder: Path, bank: Bank, name: str, draw: Callable[[Scene], Maps], count: int
    ) -> None:
        """Draw what is missing in ``folder``; ``count`` is rounded up to whole chunks."""
        chunks = range(-(-min(count, len(bank)) // CHUNK))
        self._parts = [
            self._chunk(folder, bank, name, draw, c)
            for c in track(chunks, f"drawing {name}", total=len(chunks))
        ]

    def __len__(self) -> int:
        """Number of maps."""
        return len(self._parts) * CHUNK

    def maps(self, indices: Sequence[int]) -> Maps:
        """Three equal channels: uint8 (n, 128, 128, 3)."""
        grey = np.stack([self._parts[i // CHUNK][i % CHUNK] for i in indices])
        return np.repeat(grey[..., None], 3, -1)

    @staticmethod
    def _chunk(folder: Path, bank: Bank, name: str, draw: Callable[[Scene], Maps], chunk: int) -> Maps:
        path = folder / f"{bank.kind}-{name}-v{world.WORLD_VERSION}-{chunk:04d}.npy"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            drawn = np.stack([draw(bank.scene(i)) for i in range(chunk * CHUNK, (chunk + 1) * CHUNK)])
            buffer = io.BytesIO()
            np.save(buffer, drawn)
            write_bytes(path, buffer.getvalue())
        loaded: Maps = np.load(path, mmap_mode="r")
        return loaded


def edges(pictures: Maps, rng: np.random.Generator) -> Maps:
    """Canny edges with limits drawn at random: uint8 (n, H, W, 3) to the same shape."""
    low, high = (rng.uniform(*limits, len(pictures)) for limits in CANNY_LIMITS)
    found = [cv2.Canny(p, float(a), float(b)) for p, a, b in zip(pictures, low, high, strict=True)]
    return np.repeat(np.stack(found)[..., None], 3, -1).astype(np.uint8)
