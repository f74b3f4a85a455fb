"""Prompts to what the UNet is told: each encoded alone, equal ones once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.prompts import encode_prompt
from charaforge.generation.denoise import Guide


@dataclass(frozen=True)
class Words:
    """The encoded prompts of one picture.

    Attributes:
        prompt: (1, 77 k, D) hidden states.
        negative: (1, 77 n, D) the same of the negative prompt.
    """

    prompt: Tensor
    negative: Tensor

    @property
    def length(self) -> int:
        """Tokens of the longer of the two, a multiple of the model's window."""
        return max(self.prompt.shape[1], self.negative.shape[1])


class WordEncoder:
    """Encodes the prompts of one run, while its LoRAs act on the text encoders.

    Args:
        bundle: the model.
        clip_skip: as A1111 counts.
    """

    def __init__(self, bundle: Bundle, clip_skip: int) -> None:
        self._bundle = bundle
        self._clip_skip = clip_skip
        self._known: dict[str, Tensor] = {}

    def words(self, prompt: str, negative: str) -> Words:
        """Return the encoded prompts of a picture."""
        return Words(self._encoded(prompt), self._encoded(negative))

    def _encoded(self, text: str) -> Tensor:
        if text not in self._known:
            self._known[text] = encode_prompt(self._bundle, text)
        return self._known[text]


def guide(bundle: Bundle, words: Sequence[Words], scale: float, size: tuple[int, int]) -> Guide:
    """Return what the UNet is told for pictures that are rendered together.

    Args:
        bundle: the model.
        words: one per picture, all of one length.
        scale: of classifier-free guidance.
        size: (width, height) of the pictures, which SDXL is told.
    """
    prompts = torch.cat([one.prompt for one in words])
    if scale == 1.0:
        return Guide(prompts, None, scale)
    return Guide(torch.cat([*(one.negative for one in words), prompts]), None, scale)
