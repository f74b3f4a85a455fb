"""What the UNet is told of each picture: computed before the first step, or live while words are learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from charaforge.diffusion.added_conditions import PictureSize
from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.prompts import Conditioning
from charaforge.logs import track
from charaforge.training import randomness
from charaforge.training.batches import Draw
from charaforge.training.cache import TensorCache
from charaforge.training.conditions import Condition, condition
from charaforge.training.config import TrainingConfig
from charaforge.training.dataset import Sample
from charaforge.training.reading import Reader

_AT_ONCE = 16
"""Captions that are encoded together."""


class Words(Protocol):
    """Gives what a draw is trained with, and the plain caption that pictures are measured with."""

    def of_draws(self, draws: Sequence[Draw]) -> Condition:
        """Return a shuffled caption for each draw, the empty one where it is wordless."""

    def plain(self, sample: Sample) -> Condition:
        """Return the caption as it stands, of one picture."""


class CachedWords:
    """Text-encoder outputs computed before the first step: N shuffled variants of every caption.

    Shuffle and dropout of tags therefore work although the text encoders are not there any more. The empty
    caption and the captions as they stand come along.

    Args:
        bundle: its text encoders are used here and not afterwards.
        samples: training pictures, in the order of their numbers.
        held_out: pictures that only need their plain caption.
        config: variants, shuffle, dropout, seed, how captions are read.
        cache: where outputs are kept.
        dtype: format in which they are kept: the one that the UNet computes in.
    """

    def __init__(
        self,
        bundle: Bundle,
        samples: Sequence[Sample],
        held_out: Sequence[Sample],
        config: TrainingConfig,
        cache: TensorCache,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._config = config
        self._samples = samples
        shelf = _Shelf(bundle, config, cache, dtype)
        texts = [[variant(config, sample, n) for n in range(config.caption_variants)] for sample in samples]
        self._variants = [
            shelf.encoded(group) for group in track(texts, "encoding captions", unit="pictures")
        ]
        self._empty = shelf.encoded([""])
        self._plain = {s.sha256: shelf.encoded([s.caption.text()]) for s in (*samples, *held_out)}

    def of_draws(self, draws: Sequence[Draw]) -> Condition:
        """See `Words`."""
        return condition([self._of_draw(draw) for draw in draws], _sizes(self._samples, draws))

    def plain(self, sample: Sample) -> Condition:
        """See `Words`."""
        return condition([self._plain[sample.sha256].text(0)], [sample.told_size()])

    def _of_draw(self, draw: Draw) -> Conditioning:
        if draw.wordless:
            return self._empty.text(0)
        chance = randomness.rng(self._config.seed, "variant", draw.step, draw.position)
        return self._variants[draw.sample].text(chance.randrange(self._config.caption_variants))


class LiveWords:
    """Captions encoded in every step, because a text encoder is trained; arguments as in `CachedWords`."""

    def __init__(self, bundle: Bundle, samples: Sequence[Sample], config: TrainingConfig) -> None:
        self._reader = Reader(bundle, config)
        self._samples = samples
        self._config = config

    def of_draws(self, draws: Sequence[Draw]) -> Condition:
        """See `Words`; gradients flow into the text encoders."""
        texts = [
            "" if d.wordless else variant(self._config, self._samples[d.sample], d.step, d.position)
            for d in draws
        ]
        return condition(self._reader.encode(texts), _sizes(self._samples, draws))

    def plain(self, sample: Sample) -> Condition:
        """See `Words`."""
        return condition(self._reader.encode([sample.caption.text()]), [sample.told_size()])


def variant(config: TrainingConfig, sample: Sample, *place: int) -> str:
    """Return a shuffled and thinned-out caption of a picture; the same one for the same place."""
    chance = randomness.rng(config.seed, "caption", sample.sha256, *place)
    return sample.caption.variant(
        chance, shuffle=config.shuffle_tags, dropout=config.tag_dropout, keep=config.keep_tokens
    )


@dataclass(frozen=True)
class _Encoded:
    """Encoded captions of one picture.

    Attributes:
        states: (V, L, D), each filled up with zeros.
        lengths: tokens of each.
        pooled: (V, P) for SDXL.
    """

    states: Tensor
    lengths: tuple[int, ...]
    pooled: Tensor | None

    def text(self, number: int) -> Conditioning:
        """Return one of them."""
        pooled = None if self.pooled is None else self.pooled[number : number + 1]
        return Conditioning(self.states[number : number + 1, : self.lengths[number]], pooled)


class _Shelf:
    """Encodes captions, or takes them from the cache.

    The key holds the model's files, how captions are read, and the captions themselves, so that no entry can
    be stale.
    """

    def __init__(
        self, bundle: Bundle, config: TrainingConfig, cache: TensorCache, dtype: torch.dtype
    ) -> None:
        self._reader = Reader(bundle, config)
        self._cache = cache
        self._dtype = dtype
        self._pooled = bundle.family == "sdxl"
        self._window = bundle.tokenizers[0].model_max_length
        computed_in = [str(encoder.dtype) for encoder in bundle.text_encoders]
        self._key = (bundle.sha256, config.clip_skip, config.max_token_length, *computed_in, dtype)

    def encoded(self, captions: Sequence[str]) -> _Encoded:
        """Return captions of one picture."""
        computed: list[Conditioning] = []

        def compute() -> list[Conditioning]:
            if not computed:
                computed.extend(self._compute(captions))
            return computed

        key = (*self._key, *(self._reader.prompt(caption) for caption in captions))
        lengths = tuple(self._reader.windows(caption) * self._window for caption in captions)
        states = self._kept(("states", *key), lambda: _joined(compute()).states)
        pooled = self._kept(("pooled", *key), lambda: _pooled(compute())) if self._pooled else None
        return _Encoded(states, lengths, pooled)

    def _kept(self, key: tuple[object, ...], compute: Callable[[], Tensor]) -> Tensor:
        """Return an entry as it lies on the disk: mapped, it takes memory only while it is used."""
        self._cache.get(key, lambda: compute().to(self._dtype))
        return self._cache.get(key, lambda: compute().to(self._dtype))

    @torch.no_grad()
    def _compute(self, captions: Sequence[str]) -> list[Conditioning]:
        rows = [captions[at : at + _AT_ONCE] for at in range(0, len(captions), _AT_ONCE)]
        return [one for row in rows for one in self._reader.encode(row)]


def _sizes(samples: Sequence[Sample], draws: Sequence[Draw]) -> list[PictureSize]:
    return [samples[draw.sample].told_size(draw.view) for draw in draws]


def _joined(texts: Sequence[Conditioning]) -> Condition:
    return condition(texts, [PictureSize(0, 0)] * len(texts))


def _pooled(texts: Sequence[Conditioning]) -> Tensor:
    pooled = _joined(texts).pooled
    assert pooled is not None
    return pooled
