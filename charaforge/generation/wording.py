"""Prompts to what the UNet is told: each encoded alone, equal ones once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from charaforge.diffusion.added_conditions import PictureSize, added_conditions
from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.prompts import encode_prompt
from charaforge.generation.denoise import Guide


@dataclass(frozen=True)
class Encoded:
    """One encoded prompt.

    Attributes:
        states: (1, 77 k, D) hidden states.
        pooled: (1, P) pooled states of SDXL's second text encoder; None for SD1.x.
    """

    states: Tensor
    pooled: Tensor | None = None


@dataclass(frozen=True)
class Words:
    """The encoded prompts of one picture."""

    prompt: Encoded
    negative: Encoded

    @property
    def length(self) -> int:
        """Tokens of the longer of the two, a multiple of the model's window."""
        return max(self.prompt.states.shape[1], self.negative.states.shape[1])


class WordEncoder:
    """Encodes the prompts of one run, while its LoRAs act on the text encoders.

    Args:
        bundle: the model.
        clip_skip: as A1111 counts.
    """

    def __init__(self, bundle: Bundle, clip_skip: int) -> None:
        self._bundle = bundle
        self._clip_skip = clip_skip
        self._known: dict[str, Encoded] = {}

    def words(self, prompt: str, negative: str) -> Words:
        """Return the encoded prompts of a picture."""
        return Words(self._encoded(prompt), self._encoded(negative))

    def _encoded(self, text: str) -> Encoded:
        if text not in self._known:
            self._known[text] = Encoded(encode_prompt(self._bundle, text))
        return self._known[text]


def guide(bundle: Bundle, words: Sequence[Words], scale: float, size: tuple[int, int]) -> Guide:
    """Return what the UNet is told for pictures that are rendered together.

    Args:
        bundle: the model.
        words: one per picture, all of one length.
        scale: of classifier-free guidance.
        size: (width, height) of the pictures, which SDXL is told.
    """
    told = [one.prompt for one in words]
    if scale != 1.0:
        told = [*(one.negative for one in words), *told]
    pooled = [one.pooled for one in told if one.pooled is not None]
    added = added_conditions(bundle, torch.cat(pooled) if pooled else None, PictureSize(*size))
    return Guide(torch.cat([one.states for one in told]), added or None, scale)
