"""Prompts to what the UNet is told: each encoded alone, equal ones once, and the last ones kept."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from charaforge.diffusion.added_conditions import PictureSize, added_conditions
from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.prompts import (
    NO_EMBEDDINGS,
    Conditioning,
    Embeddings,
    encode_prompt,
    padded,
    zeros_like,
)
from charaforge.generation.denoise import Guide

CACHE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Words:
    """The encoded prompts of one picture."""

    prompt: Conditioning
    negative: Conditioning

    @property
    def length(self) -> int:
        """Tokens of the longer of the two, a multiple of the model's window."""
        return max(self.prompt.states.shape[1], self.negative.states.shape[1])


@dataclass
class PromptCache:
    """Encoded prompts, those used last, within a limit of memory.

    Args:
        limit: in bytes.
    """

    limit: int = CACHE_BYTES
    _kept: OrderedDict[tuple[object, ...], Conditioning] = field(default_factory=OrderedDict)
    _size: int = 0

    def get(self, key: tuple[object, ...], make: Callable[[], Conditioning]) -> Conditioning:
        """Return what is kept under `key`, or what `make` gives, which is then kept."""
        found = self._kept.pop(key, None)
        if found is None:
            found = make()
            self._size += found.size_in_bytes
        self._kept[key] = found
        while self._size > self.limit and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._size -= old.size_in_bytes
        return found


class WordEncoder:
    """Encodes the prompts of one run, while its LoRAs act on the text encoders.

    Args:
        bundle: the model.
        clip_skip: as A1111 counts.
        embeddings: textual inversions by the words that call them.
        cache: where encoded prompts are kept.
        acting: what acts on the text encoders beside their own weights, as part of the cache's key.
    """

    def __init__(
        self,
        bundle: Bundle,
        clip_skip: int,
        embeddings: Embeddings = NO_EMBEDDINGS,
        cache: PromptCache | None = None,
        acting: tuple[object, ...] = (),
    ) -> None:
        self._bundle = bundle
        self._clip_skip = clip_skip
        self._embeddings = embeddings
        self._cache = cache or PromptCache()
        weights = (bundle.sha256, str(bundle.dtype), str(bundle.device), _digest(embeddings))
        self._key = (*weights, clip_skip, acting)

    def words(self, prompt: str, negative: str) -> Words:
        """Return the encoded prompts of a picture, the shorter one filled up with empty windows.

        An empty negative prompt is zeros for models that were trained so, as in diffusers and A1111.
        """
        if negative == "" and self._bundle.zero_empty:
            told = self._encoded(prompt)
            return Words(told, zeros_like(told))
        words = Words(self._encoded(prompt), self._encoded(negative))
        return Words(self._filled(words.prompt, words.length), self._filled(words.negative, words.length))

    def _encoded(self, text: str) -> Conditioning:
        return self._cache.get(
            (*self._key, text),
            lambda: encode_prompt(self._bundle, text, self._clip_skip, self._embeddings),
        )

    def _filled(self, conditioning: Conditioning, length: int) -> Conditioning:
        states = padded(self._bundle, conditioning, length, self._clip_skip)
        return Conditioning(states, conditioning.pooled)


def _digest(embeddings: Embeddings) -> str:
    """Return what tells textual inversions apart, those of equal names too."""
    told = hashlib.sha256()
    for word, widths in sorted(embeddings.items()):
        for vectors in widths.values():
            told.update(f"{word} {tuple(vectors.shape)} {vectors.dtype}".encode())
            told.update(vectors.float().numpy().tobytes())
    return told.hexdigest()


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
