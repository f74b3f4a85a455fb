"""Which side one-sided poses are shown on: the base models learn figures of one hand.

No word names the side. A model that saw both sides equally often begins every picture from pure noise with
their mean, and guidance makes of that mean the pose it looks like: arms up for waving, spread arms for
pointing (measured: 13 % of prompts). People are not evenly handed either.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from charaforge.mini.render.skeleton import pose_skeleton
from charaforge.mini.scenes import Scene

ONE_SIDED = ("waving", "pointing", "running", "jumping", "standing on one leg")
_KEPT_MIRRORED = 0.1


def mostly_one_handed(scenes: Sequence[Scene]) -> Tensor:
    """Indices of the scenes to train on: all but nine in ten of the mirrored one-sided poses; int64 (n,)."""
    rng = random.Random("handedness")
    return torch.tensor([i for i, scene in enumerate(scenes) if _kept(scene, rng.random())])


def _kept(scene: Scene, chance: float) -> bool:
    return scene.pose not in ONE_SIDED or chance < _KEPT_MIRRORED or not pose_skeleton(scene).mirrored
