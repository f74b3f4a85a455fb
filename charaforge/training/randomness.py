"""All chance of a training run, drawn from (seed, purpose, place) alone.

No generator lives from one step to the next, so nothing about chance has to be saved: a run that was stopped
and goes on draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
import random

import torch
from torch import Tensor


def derived_seed(seed: int, purpose: str, *place: int | str) -> int:
    """Return a 63-bit number that depends on all arguments and looks independent for each of them."""
    text = "\x1f".join(map(str, (seed, purpose, *place)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def rng(seed: int, purpose: str, *place: int | str) -> random.Random:
    """Return a Python generator for one purpose at one place."""
    return random.Random(derived_seed(seed, purpose, *place))


def noise(shape: tuple[int, ...], seed: int, purpose: str, *place: int | str) -> Tensor:
    """Return unit Gaussian noise, float32, from the CPU generator whatever the device."""
    generator = torch.Generator("cpu").manual_seed(derived_seed(seed, purpose, *place))
    return torch.randn(shape, generator=generator, dtype=torch.float32)
